"""A Python client of a running Glitch Discovery service.

    from glitch_discovery import Client

    service = Client("http://127.0.0.1:8000", token="...")
    answer = service.embed("H-H1_LOSC_4_V2-1126259446-32.hdf5", gps_time="1126259462.4")
    print(answer.novelty.p_value, [one.label for one in answer.neighbours])

It needs nothing but httpx. Tables come as objects of pandas, astropy or gwpy where these are
installed.
"""

from glitch_discovery.client import Client
from glitch_discovery.errors import JobFailedError, ServiceError, UnreachableError
from glitch_discovery.records import (
    Answer,
    Cluster,
    Embedding,
    Glitch,
    GlitchDetail,
    Job,
    Label,
    Member,
    Neighbour,
    Novelty,
    Reviewed,
)
from glitch_discovery.tables import Table

__all__ = [
    "Answer",
    "Client",
    "Cluster",
    "Embedding",
    "Glitch",
    "GlitchDetail",
    "Job",
    "JobFailedError",
    "Label",
    "Member",
    "Neighbour",
    "Novelty",
    "Reviewed",
    "ServiceError",
    "Table",
    "UnreachableError",
]
