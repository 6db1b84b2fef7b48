"""Publication of a checkpoint: files into the data directory, a row into the database."""

import json
import shutil
import tempfile
from pathlib import Path

from sqlalchemy.orm import Session

from app.core.errors import LaunchError, NotReadyError
from app.core.storage import storage_of
from app.models.checkpoints import active_checkpoint, list_checkpoints, publish_checkpoint
from app.models.records import CheckpointRecord
from app.models.reembed import switch_checkpoint
from app.server.runtime import CHECKPOINTS_FOLDER
from glitch.checkpoint import (
    MANIFEST_FILE,
    SHIPPED_BEFORE,
    SHIPPED_NAME,
    WEIGHTS_FILE,
    load_checkpoint,
    shipped_checkpoint,
)

_AUTHOR = "upgrade"


def publish_folder(
    session: Session, folder: Path, data_directory: Path, *, activate: bool
) -> CheckpointRecord:
    """Copy a checkpoint and register it; a checkpoint that is already registered is not repeated.

    It is copied because the catalogue's embeddings need its weights for as long as they exist, even
    if the folder is removed or a new release ships another checkpoint. With ``activate``, new
    uploads use it from now on.

    Raises:
        CheckpointError: if the folder is incomplete or damaged.
        LaunchError: if the copy cannot be written.
    """
    checkpoint = load_checkpoint(folder)
    copy = data_directory / CHECKPOINTS_FOLDER / checkpoint.digest
    try:
        _keep_copy(folder, copy)
        if not storage_of(data_directory).holds(copy / WEIGHTS_FILE):
            storage_of(data_directory).keep(copy)
    except OSError as error:
        raise LaunchError(
            f"The checkpoint {folder} cannot be copied into {data_directory} ({error.strerror})."
        ) from error
    manifest = checkpoint.manifest
    return publish_checkpoint(
        session,
        name=manifest.name,
        digest=checkpoint.digest,
        preprocessing_digest=manifest.preprocessing.digest(),
        latent_size=manifest.architecture.latent,
        manifest=json.loads((copy / MANIFEST_FILE).read_text()),
        activate=activate,
    )


def publish_shipped(session: Session, data_directory: Path) -> CheckpointRecord:
    """Publish the shipped checkpoint, and return the active one.

    It becomes active immediately only if no checkpoint is, because embeddings of different
    checkpoints cannot be compared. If the active checkpoint was shipped by an earlier release
    (possibly under the same name with other weights), a job embeds the catalogue again, once, while
    the old one stays in use. If an operator has activated another checkpoint or gone back, that
    choice is kept.
    """
    try:
        active = active_checkpoint(session)
    except NotReadyError:
        return publish_folder(session, shipped_checkpoint(), data_directory, activate=True)
    published_digests = {one.digest for one in list_checkpoints(session)}
    shipped = publish_folder(session, shipped_checkpoint(), data_directory, activate=False)
    if shipped.digest not in published_digests and active.name in (*SHIPPED_BEFORE, SHIPPED_NAME):
        switch_checkpoint(session, shipped.id, _AUTHOR)
    return active_checkpoint(session)


def _keep_copy(folder: Path, target: Path) -> None:
    """Copy the folder atomically, named by its digest."""
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=target.parent) as scratch:
        staged = Path(scratch) / target.name
        staged.mkdir(mode=0o755)
        for name in (WEIGHTS_FILE, MANIFEST_FILE):
            shutil.copyfile(folder / name, staged / name)
        staged.rename(target)
