# The service without an embedded database: set DATABASE_URL. See docs/operations/docker.md.
# The digest covers all platforms. For a newer base image: --build-arg PYTHON_IMAGE=...
ARG PYTHON_IMAGE=python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
FROM ${PYTHON_IMAGE} AS build
# Another package index, for example PyTorch's, which has the smaller CPU-only torch.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# Extras of pyproject.toml, for example tracing.
ARG EXTRAS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/glitch
WORKDIR /src
# Install dependencies first: their layer stays cached if only our code changes.
COPY pyproject.toml constraints.txt ./
RUN python -c "import sys, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print('\n'.join(p['dependencies'] + sum((p['optional-dependencies'][e] for e in sys.argv[1:]), [])))" ${EXTRAS} > requirements.txt \
    && /opt/glitch/bin/pip install --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE alembic.ini ./
COPY alembic alembic
COPY glitch glitch
COPY glitch_discovery glitch_discovery
COPY training training
COPY app app
COPY worker worker
RUN /opt/glitch/bin/pip install --no-deps .

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 glitch \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin glitch \
    && install --directory --owner glitch --group glitch /data
COPY --from=build /opt/glitch /opt/glitch
# The service reads migrations from here; the packages are in the virtual environment.
COPY alembic.ini /srv/alembic.ini
COPY alembic /srv/alembic
WORKDIR /srv
ENV PATH=/opt/glitch/bin:$PATH PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2 GLITCH_DATA_DIR=/data GLITCH_HOST=0.0.0.0
# A numeric user, so that Kubernetes can verify that it is not root.
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["uvicorn", "--factory", "app.main:create_app", "--host", "0.0.0.0", "--port", "8000", "--http", "app.server.http_protocol:TimedHttpProtocol", "--no-server-header", "--no-access-log", "--timeout-graceful-shutdown", "8", "--timeout-keep-alive", "30"]
