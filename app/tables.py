"""All tables together, for migrations. Other code imports only the tables that it uses."""

from app.classes import tables as class_tables
from app.classes.audit import tables as audit_tables
from app.clusters import tables as cluster_tables
from app.core import access
from app.core.database import Base
from app.glitches import tables as glitch_tables
from app.jobs import tables as job_tables
from app.map import tables as map_tables
from app.models import tables as model_tables

MODULES = (
    *(access, model_tables, class_tables, audit_tables, glitch_tables),
    *(job_tables, cluster_tables, map_tables),
)
metadata = Base.metadata
