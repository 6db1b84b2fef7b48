"""`glitch-discovery jobs`: background work of a running service."""

from typing import Annotated

import typer

from app.cli.options import JobId, ServiceUrl, given

app = typer.Typer(help="Background work of a running service.", no_args_is_help=True)


@app.command("list")
def list_jobs(
    *,
    state: Annotated[
        str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only jobs of this kind, such as ingest.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of jobs.")] = 20,
    url: ServiceUrl = None,
) -> None:
    """List jobs, newest first."""
    filters = given(locals(), "url")
    from app.client.remote import print_jobs

    print_jobs(url, filters)


@app.command("show")
def show_job(
    job_id: JobId,
    *,
    follow: Annotated[bool, typer.Option(help="Show the progress until the job ends.")] = True,
    url: ServiceUrl = None,
) -> None:
    """Show a job's progress until it ends, then what failed. Exit code 1 if the job failed."""
    from app.client.remote import show

    raise typer.Exit(show(url, job_id, is_followed=follow))


@app.command("cancel")
def cancel_job(job_id: JobId, *, url: ServiceUrl = None) -> None:
    """Stop a job; what it has stored is kept."""
    from app.client.remote import act

    act(url, job_id, "cancel")


@app.command("retry")
def retry_job(job_id: JobId, *, url: ServiceUrl = None) -> None:
    """Retry failed items, or the rest of a cancelled job."""
    from app.client.remote import act

    act(url, job_id, "retry")
