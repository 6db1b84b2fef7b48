"""The application: ``uvicorn --factory app.main:create_app``."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch
from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from app.api_routes import router
from app.core.errors import ServiceError
from app.core.logs import configure_logging
from app.core.settings import Settings
from app.page_routes import create_web_router
from app.server import problems
from app.server.metrics import LoadCollector, Metrics, OwnLoad
from app.server.middleware import BodyBounds, RequestContext, WholeForOldClients
from app.server.runtime import Runtime, open_runtime
from app.server.tracing import start_tracing
from glitch.errors import GlitchError
from glitch_discovery.version import VERSION

_log = logging.getLogger("app.main")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the service as an ASGI application."""
    chosen = settings or Settings()
    configure_logging(chosen)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        torch.set_num_threads(chosen.torch_threads)
        with open_runtime(chosen) as runtime:
            application.state.runtime = runtime
            load = LoadCollector(runtime)
            metrics.registry.register(load)
            application.state.own_load = OwnLoad(metrics, runtime)
            noting = asyncio.create_task(application.state.own_load.note_for_ever())
            to_thread.current_default_thread_limiter().total_tokens = runtime.admissions.threads
            await run_in_threadpool(_load_model, runtime)
            yield
            noting.cancel()
            await run_in_threadpool(stop_tracing)
            metrics.registry.unregister(load)

    application = FastAPI(
        title="Glitch Discovery",
        summary="Embeds gravitational-wave detector glitches and finds their neighbours.",
        version=VERSION,
        license_info={"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads scripts from another host; see app.frame.static_files
        redoc_url=None,
        form_limits={"max_files": 16, "max_fields": 64, "max_part_size": 64 * 1024},
    )
    application.state.metrics = metrics
    problems.install(application)
    application.include_router(router)
    application.include_router(create_web_router())
    # The middleware added last is the outermost.
    application.add_middleware(
        BodyBounds,
        max_bytes=chosen.max_upload_bytes,
        timeout_s=chosen.upload_timeout_s,
        batch_bytes=max(chosen.max_batch_bytes, chosen.max_upload_bytes),
        batch_timeout_s=max(chosen.batch_timeout_s, chosen.upload_timeout_s),
    )
    application.add_middleware(WholeForOldClients)
    application.add_middleware(RequestContext, metrics=metrics)
    stop_tracing = start_tracing(application)
    return application


def _load_model(runtime: Runtime) -> None:
    """Load the active checkpoint before the first upload; /readyz reports if that fails."""
    try:
        checkpoint, _ = runtime.active_encoder()
        _log.info("model loaded", extra={"checkpoint": checkpoint.name})
    except (ServiceError, GlitchError, SQLAlchemyError) as error:
        _log.warning("no model loaded yet: %s", error)
