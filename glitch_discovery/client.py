"""The client: one method for each thing that a script or a notebook does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from glitch_discovery.errors import JobFailedError
from glitch_discovery.packing import as_archive
from glitch_discovery.records import (
    Answer,
    Cluster,
    Glitch,
    GlitchDetail,
    Job,
    Label,
    Member,
    Neighbour,
    Reviewed,
)
from glitch_discovery.tables import FORMAT_OF, Table
from glitch_discovery.transport import Transport, form

LOCAL = "http://127.0.0.1:8000"
_PAGE = 500

OnProgress = Callable[[Job], None]
Paths = str | Path | Sequence[str | Path]


class Client:
    """A running service.

    Filters of ``glitches``, ``table``, ``export`` and ``neighbours`` are those of
    ``GET /glitches``: ``ifo``, ``label``, ``origin`` (each one value or a list), ``subclasses``,
    ``gps_start``, ``gps_end``, ``snr_min``, ``snr_max``, ``peak_frequency_min``,
    ``peak_frequency_max``, ``cluster``, ``batch``, ``is_labelled``, ``p_value_max``, ``is_judged``.

    Every method raises ``ServiceError`` with the service's own sentence where it refuses, and
    ``UnreachableError`` where none answers.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None) -> None:
        """Take an address and a token.

        Args:
            url: where the service listens; default ``GLITCH_URL``, else this machine, port 8000.
            token: default ``GLITCH_TOKEN``. The service's pages under *Access tokens* make one.
        """
        self._transport = Transport(
            url or os.environ.get("GLITCH_URL") or LOCAL, token or os.environ.get("GLITCH_TOKEN")
        )

    @property
    def url(self) -> str:
        """Where it asks."""
        return self._transport.url

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Itself; connections close with the block."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self.close()

    # --- one glitch -------------------------------------------------------------------------------

    def embed(
        self,
        files: Paths,
        *,
        gps_time: str | Decimal | float | None = None,
        ifo: str | None = None,
        channel: str | None = None,
        sample_rate_hz: float | None = None,
        view_duration_s: Sequence[float] | None = None,
        energy_max: float | None = None,
        frequency_range: tuple[float, float] | None = None,
        centre: bool = True,
        neighbours: int = 10,
        store: bool = True,
        label: str | None = None,
    ) -> Answer:
        """Send one glitch; get its vector, novelty and nearest known glitches.

        Args:
            files: one strain file, one array of views, or one to four spectrograms.
            gps_time: GPS seconds; needed for strain. A string or Decimal is exact.
            ifo: such as ``H1``, where neither file nor name says it.
            channel: such as ``H1:GDS-CALIB_STRAIN``.
            sample_rate_hz: where the file does not say it.
            view_duration_s: windows of the pictures, in s, in their order.
            energy_max: of pictures: normalised energy at the top of the colour scale, if not 25.5.
            frequency_range: of pictures: lowest and highest frequency in Hz, if not 10 to 2048.
            centre: strain's views on its loudest moment within 0.25 s of ``gps_time``; False
                keeps that time in the middle.
            neighbours: how many, 0 to 10,000.
            store: False keeps nothing.
            label: a class to label it with.

        Raises:
            OSError: if a file cannot be read.
        """
        fields = {
            "gps_time": gps_time,
            "ifo": ifo,
            "channel": channel,
            "sample_rate_hz": sample_rate_hz,
            "view_duration_s": view_duration_s,
            "energy_max": energy_max,
            "frequency_range": frequency_range and ",".join(f"{hz:f}" for hz in frequency_range),
            "centre": centre,
            "neighbours": neighbours,
            "store": store,
            "label": label,
        }
        sent = [("file", path) for path in _paths(files)]
        return Answer.parse(self._transport.send("/embed", sent, fields))

    def glitch(self, glitch_id: str) -> GlitchDetail:
        """A stored glitch with its vector and novelty under the active model."""
        return GlitchDetail.parse(self._transport.ask("GET", f"/glitches/{glitch_id}"))

    def neighbours(self, glitch_id: str, *, k: int = 10, **filters: Any) -> list[Neighbour]:
        """The nearest glitches of a stored one, by ascending distance.

        Args:
            glitch_id: of the stored glitch.
            k: how many, 0 to 10,000.
            **filters: among which glitches.
        """
        said = self._transport.ask(
            "GET", f"/glitches/{glitch_id}/neighbours", params=form({"neighbours": k} | filters)
        )
        return [Neighbour.parse(one) for one in said["items"]]

    def picture(self, glitch_id: str, duration_s: float = 1.0, *, axes: bool = True) -> bytes:
        """One view as a PNG, for ``IPython.display.Image`` or a file.

        Args:
            glitch_id: of the stored glitch.
            duration_s: 0.5, 1, 2 or 4.
            axes: draw axes and colour bar as Gravity Spy does.
        """
        path = f"/glitches/{glitch_id}/views/{duration_s}.png"
        return self._transport.read(path, params=form({"axes": axes}))

    def traversal(
        self, glitch_id: str, latent: int | None = None, *, duration_s: float = 1.0
    ) -> bytes:
        """Seven views painted while one latent moves from -3 to 3 and the others stay, as a PNG.

        Args:
            glitch_id: of the stored glitch.
            latent: which; None takes the one that says most about this glitch.
            duration_s: window of the views: 0.5, 1, 2 or 4.
        """
        path = f"/glitches/{glitch_id}/traversals"
        if latent is None:
            found = self._transport.ask("GET", path)["units"]
            latent = found[0]["unit"] if found else 0
        return self._transport.read(f"{path}/{latent}.png", params=form({"duration": duration_s}))

    # --- the catalogue ----------------------------------------------------------------------------

    def glitches(self, **filters: Any) -> Iterator[Glitch]:
        """The glitches that pass the filters, latest stored first, fetched as they are wanted."""
        for said in self._transport.pages("/glitches", filters, _PAGE):
            yield Glitch.parse(said)

    def table(self, **filters: Any) -> Table:
        """The glitches that pass the filters as one table, for pandas, astropy or gwpy."""
        return Table(self._transport.read("/exports", params=form({"format": "csv"} | filters)))

    def export(
        self,
        path: str | Path,
        *,
        format: str | None = None,  # noqa: A002 - the field's own name
        on_progress: OnProgress | None = None,
        **filters: Any,
    ) -> Job:
        """Have any number of glitches written as a job, and keep the file.

        Args:
            path: where to keep it.
            format: ``csv``, ``hdf5`` or ``ligolw``; else as the name ends.
            on_progress: called with the job, twice a second.
            **filters: which glitches.

        Raises:
            ValueError: if neither tells the format.
            JobFailedError: if it came to nothing.
        """
        wanted = format or FORMAT_OF.get(Path(path).suffix.lower())
        if wanted is None:
            raise ValueError(
                f"{Path(path).name} does not tell its format: end it in {', '.join(FORMAT_OF)}, or "
                "give format='csv', 'hdf5' or 'ligolw'."
            )
        started = self._transport.ask("POST", "/exports", json={"format": wanted} | _lists(filters))
        job = self.wait(started["id"], on_progress=on_progress)
        self._transport.fetch(f"/exports/{job.id}", Path(path))
        return job

    # --- labels -----------------------------------------------------------------------------------

    def labels(self, glitch_id: str) -> list[Label]:
        """All labels of a glitch, oldest first, revoked ones included."""
        said = self._transport.ask("GET", f"/glitches/{glitch_id}/labels")
        return [Label.parse(one) for one in said["items"]]

    def label(self, glitch_id: str, name: str) -> Label:
        """Label a glitch; the new label becomes the current one."""
        body = {"label": name}
        return Label.parse(self._transport.ask("POST", f"/glitches/{glitch_id}/labels", json=body))

    def revoke_label(self, glitch_id: str, label_id: str) -> Label:
        """Revoke a label; it stays in the history."""
        path = f"/glitches/{glitch_id}/labels/{label_id}"
        return Label.parse(self._transport.ask("DELETE", path))

    # --- many glitches ----------------------------------------------------------------------------

    def ingest(
        self,
        path: str | Path,
        *,
        manifest: str | Path | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        **fields: Any,
    ) -> Job:
        """Send a batch: a folder or an archive of pictures, many views, or a trigger table.

        Args:
            path: what ``POST /batches`` takes, streamed from disk; a folder is packed first.
            manifest: a CSV that tells of the pictures. One that lies in the folder is found there.
            wait: stay until every glitch is stored or refused.
            on_progress: called with the job, twice a second.
            **fields: ``ifo``, ``channel``, ``sample_rate_hz``, ``merge_window_s``, ``origin``,
                ``centre``, ``energy_max``, ``frequency_range`` (a text, as ``10,4096``),
                ``segments`` (``filter`` or ``mark``), ``flags`` (a text, with commas).

        Raises:
            JobFailedError: if the whole batch failed. One bad glitch never fails it:
                ``Job.failed`` counts those.
            OSError: if a file cannot be read.
        """
        with as_archive(Path(path)) as archive:
            files = [("file", archive)]
            if manifest is not None:
                files.append(("manifest", Path(manifest)))
            said = self._transport.send("/batches", files, fields)
        return self.wait(said["job"], on_progress=on_progress) if wait else self.job(said["job"])

    def job(self, job_id: str) -> Job:
        """How a job stands."""
        return Job.parse(self._transport.ask("GET", f"/jobs/{job_id}"))

    def wait(
        self, job_id: str, *, on_progress: OnProgress | None = None, look_every_s: float = 0.5
    ) -> Job:
        """Stay with a job until it has ended.

        Args:
            job_id: of the job.
            on_progress: called with the job whenever it was looked at.
            look_every_s: how often that is, in seconds.

        Raises:
            JobFailedError: if it failed or was cancelled.
        """
        while True:
            job = self.job(job_id)
            if on_progress is not None:
                on_progress(job)
            if job.has_ended:
                break
            time.sleep(look_every_s)
        if job.state != "succeeded":
            raise JobFailedError(
                f"The job {job.kind} {job.id} {job.state}: {job.detail or 'no reason given'}"
            )
        return job

    def failures(self, job_id: str) -> Iterator[tuple[str, str]]:
        """Name and reason of each input that a job could not do."""
        query = {"state": "failed"}
        for said in self._transport.pages(f"/jobs/{job_id}/items", query, _PAGE):
            yield said["name"], said["reason"]

    # --- clusters ---------------------------------------------------------------------------------

    def cluster(self, *, on_progress: OnProgress | None = None, **wanted: Any) -> list[Cluster]:
        """Have the catalogue clustered; what was found, largest first.

        Args:
            on_progress: called with the job, twice a second.
            **wanted: ``fdr``, ``min_cluster_size``, ``ifo``, ``scope``, ``simulated``,
                ``dormant_days``, as ``POST /clusters/runs`` takes them.

        Raises:
            JobFailedError: if the clustering failed.
        """
        started = self._transport.ask("POST", "/clusters/runs", json=wanted)
        job = self.wait(started["id"], on_progress=on_progress)
        return self.clusters(run=job.result["run"])

    def clusters(self, **filters: Any) -> list[Cluster]:
        """Clusters of the latest run, largest first.

        Args:
            **filters: ``run``, ``identity``, ``state``, ``ifo``, ``min_size``.
        """
        return [Cluster.parse(one) for one in self._transport.pages("/clusters", filters, _PAGE)]

    def members(self, cluster_id: str, *, exemplars: bool = False) -> list[Member]:
        """The glitches of a cluster, from the medoid outwards.

        Args:
            cluster_id: of the cluster.
            exemplars: only the few that show it from core to edge.
        """
        query = {"exemplar": "true" if exemplars else None}
        found = self._transport.pages(f"/clusters/{cluster_id}/members", query, _PAGE)
        return [Member.parse(one) for one in found]

    def review(self, cluster_id: str, action: str, **wanted: Any) -> Reviewed:
        """Review a cluster as it stands now; what somebody else does meanwhile is not overwritten.

        Args:
            cluster_id: of the cluster.
            action: ``promote``, ``merge``, ``dismiss``, ``split``, ``assign``, ``accept``,
                ``comment``, ``undo`` or ``redo``.
            **wanted: what the action takes, as ``POST /clusters/{id}/review`` lists it; with
                ``last_event_id`` where the decision rests on an earlier look.

        Raises:
            ServiceError: also, with status 409, if somebody acted since ``last_event_id``.
        """
        if "last_event_id" not in wanted:
            known = self._transport.ask("GET", f"/clusters/{cluster_id}/history")
            wanted["last_event_id"] = known["last_event_id"]
        body = {"action": action} | wanted
        return Reviewed.parse(
            self._transport.ask("POST", f"/clusters/{cluster_id}/review", json=body)
        )


def _paths(files: Paths) -> list[Path]:
    return [Path(files)] if isinstance(files, str | Path) else [Path(one) for one in files]


def _lists(filters: dict[str, Any]) -> dict[str, Any]:
    """Filters as JSON has them: those that may repeat are always lists."""
    repeated = ("ifo", "label", "origin")
    return {
        name: [value] if name in repeated and isinstance(value, str) else value
        for name, value in filters.items()
        if value is not None
    }
