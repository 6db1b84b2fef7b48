"""``glitch-discovery reproduce``: train missing runs, then write tables, figures and report."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glitch.errors import GlitchError
from training.core.budget import Budget
from training.core.full_disk import full_disk_as_error
from training.core.one_at_a_time import one_at_a_time
from training.core.parallel import Progress
from training.reproduction.figure1 import report_figure1
from training.reproduction.figure2 import report_figure2
from training.reproduction.figures34 import report_figure3, report_figure4
from training.reproduction.lemma import report_lemma
from training.reproduction.plan import PLANS, Run
from training.reproduction.report import BEYOND, ORDER, keep_section, write_report
from training.reproduction.runs import Workspace, perform_all
from training.reproduction.scores import SCORES_FILE
from training.reproduction.table2 import report_grids, report_table2
from training.reproduction.tiers import tier_named, with_budget

_REPORTS: dict[str, Callable[[Workspace, Sequence[Run]], str]] = {
    "table2": report_table2,
    "grids": report_grids,
    "fig1": report_figure1,
    "fig2": report_figure2,
    "fig3": report_figure3,
}


@dataclass(frozen=True)
class Sources:
    """Sources of data that this project cannot distribute; None selects the replacement."""

    dsprites: Path | None = None  # the public npz; None: re-rendered
    chairs: Path | None = None  # folder of 3D Chairs pictures; None: simulated glitches
    real_images: Path = field(default=Path("../shared/data/gravityspy_images"))  # Table 1


def reproduce(
    targets: Sequence[str],
    tier: str,
    folder: Path,
    *,
    jobs: int = 1,
    sources: Sources | None = None,
    budget: Budget | None = None,
    is_report_only: bool = False,
    progress: Progress = lambda _done, _total, _note: None,
) -> Path | None:
    """Reproduce ``targets`` in ``folder``; existing results are not computed again.

    Args:
        targets: any of ``table1``, ``likelihoods``, ``table2``, ``grids``, ``fig1`` to ``fig4`` and
            ``lemma``, or ``all`` for those in the paper.
        tier: key of ``TIERS``.
        folder: folder of the results; runs of different tiers cannot share one.
        jobs: number of parallel training processes.
        sources: data that this project cannot distribute.
        budget: steps or seeds that differ from the tier's; does not apply to the lemma's ladder.
        is_report_only: train nothing; make tables and figures from the finished runs.
        progress: called with the amount done, the total, and the current activity.

    Returns:
        The report, or None if the work was stopped; the same call continues it.

    Raises:
        GlitchError: if a target or tier is unknown, data are missing or damaged, the folder holds
            another tier, another command is using it, or a run diverged.
    """
    papers = set(ORDER) - set(BEYOND) if "all" in targets else set()
    ordered = tuple(target for target in ORDER if target in papers | set(targets))
    for target in targets:
        if target not in (*ORDER, "all"):
            names = ", ".join((*ORDER, "all"))
            raise GlitchError(f"There is no target {target!r}: choose from {names}.")
    if jobs < 1:
        raise GlitchError(f"jobs must be at least 1, but is {jobs}.")
    chosen_sources = sources or Sources()
    wish = budget or Budget()
    sized = with_budget(tier_named(tier), wish)
    place = Workspace(folder, sized, chosen_sources.dsprites)
    try:
        with full_disk_as_error(folder):
            _claim(place, wish)
            if is_report_only:
                return _report_finished(place, ordered, chosen_sources, wish)
            with one_at_a_time(folder):
                return _reproduce(place, ordered, jobs, chosen_sources, wish, progress)
    except KeyboardInterrupt:  # outside of training, which handles it by saving
        return None


def _reproduce(  # noqa: PLR0917 - the request, in its order
    place: Workspace,
    targets: Sequence[str],
    jobs: int,
    sources: Sources,
    wish: Budget,
    progress: Progress,
) -> Path | None:
    runs = list(dict.fromkeys(run for t in targets if t in PLANS for run in PLANS[t](place.tier)))
    if runs and not perform_all(place, runs, jobs=jobs, progress=progress):
        return None
    for target in targets:
        progress(0, None, target)
        text = _section(place, target, sources, wish, jobs, progress)
        if text is None:
            return None
        keep_section(place, target, text)
    now = datetime.datetime.now(datetime.UTC)
    return write_report(place, place.data_name, now)


def _report_finished(place: Workspace, order: Sequence[str], inputs: Sources, wish: Budget) -> Path:
    """Write the sections of finished runs, each listing what is missing; others stay unchanged."""
    for target in set(_REAL_TARGETS) & set(order):
        text = _real_section(target, place, inputs, wish, is_report_only=True)
        if text is not None:
            keep_section(place, target, text)
    for target in order:
        if target not in PLANS:
            continue
        planned = PLANS[target](place.tier)
        finished = [run for run in planned if (place.run_folder(run) / SCORES_FILE).exists()]
        if not finished:
            continue
        text = _REPORTS[target](place, finished)
        missing = sorted({run.label for run in planned} - {run.label for run in finished})
        if missing:
            text += f"\nNot run yet: {', '.join(missing)}.\n"
        keep_section(place, target, text)
    return write_report(place, place.data_name, datetime.datetime.now(datetime.UTC))


def _section(  # noqa: PLR0917 - the request, in its order
    place: Workspace, target: str, sources: Sources, wish: Budget, jobs: int, progress: Progress
) -> str | None:
    if target in _REPORTS:
        return _REPORTS[target](place, PLANS[target](place.tier))
    if target == "lemma":
        return report_lemma(place, lambda rung: progress(0, None, f"lemma: {rung}"))
    if target == "fig4":
        steps = place.tier.steps
        return report_figure4(place, sources.chairs, lambda step: progress(step, steps, "fig4"))
    return _real_section(target, place, sources, wish, jobs, progress)


# Targets on real glitches, with the headings of their sections.
_REAL_TARGETS = {
    "table1": "Table 1: a linear classifier on real glitches",
    "likelihoods": "Table 1 under other likelihoods of a pixel",
}


def _real_section(  # noqa: PLR0917 - the request, in its order
    target: str,
    place: Workspace,
    sources: Sources,
    wish: Budget,
    jobs: int = 1,
    progress: Progress = lambda _done, _total, _note: None,
    *,
    is_report_only: bool = False,
) -> str | None:
    from training.reproduction.table1.command import run_table1
    from training.reproduction.table1.likelihoods import run_likelihoods

    run = run_table1 if target == "table1" else run_likelihoods
    report = run(
        place.tier.name,
        place.folder / "table1",  # one folder: both use the runs with the optimal variance
        lambda done, total, note: progress(done, total, f"{target}: {note}"),
        jobs=jobs,
        real_images=sources.real_images,
        budget=wish,
        is_report_only=is_report_only,
    )
    if report is None:
        return None
    body = report.read_text(encoding="utf-8").split("\n", 1)[1].strip()
    body = body.replace("\n## ", "\n### ").replace("](", "](table1/")  # here it is a section
    heading = f"## {_REAL_TARGETS[target]}\n\nIts files are in `table1/`."
    return f"{heading}\n\n{body}\n"


def _claim(place: Workspace, wish: Budget) -> None:
    """Prevent two tiers, other steps, or public and re-rendered data from sharing a folder."""
    data = "re-rendered" if place.npz is None else "public"
    steps = "" if wish.steps is None else f", {wish.steps} steps"
    mark = f"{place.tier.name}{steps}, dSprites {data}\n"
    path = place.folder / "tier.txt"
    if path.exists():
        saved = path.read_text(encoding="utf-8")
        if saved != mark:
            raise GlitchError(
                f"{place.folder} contains results of other settings ({saved.strip()}): "
                "choose another folder."
            )
        return
    place.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(mark, encoding="utf-8")
