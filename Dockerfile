# One image for the operator and for movers.
#   docker build -t becalm --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
# Any Debian with Python 3.11 or newer and its venv module can be the base: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check uv==${UV_VERSION}
# the system's certificates: an index behind a company's own authority works, too
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    UV_PROJECT_ENVIRONMENT=/opt/becalm \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
# dependencies first: a change of our code does not install them again
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --locked --no-dev --no-install-project
COPY LICENSE README.md ./
COPY engine engine
COPY operator operator
RUN /opt/uv/bin/uv sync --locked --no-dev --no-editable

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="becalm" \
      org.opencontainers.image.description="Brings Kubernetes workloads to a standstill, backs up their volumes, starts them again" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/becalm /opt/becalm
ENV PATH=/opt/becalm/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
CMD ["becalm", "--help"]
# last: another revision of the same code rebuilds no layer
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
