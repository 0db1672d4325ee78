# One image for all services and roles: `docker run IMAGE order_service api`. See docs/image.md.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements-uv.lock requirements-image.lock ./
RUN --mount=type=cache,target=/root/.cache python3 -m venv /tools \
    && /tools/bin/pip install -q --require-hashes -r requirements-uv.lock \
    && python3 -m venv --without-pip /opt/crossdock \
    && /tools/bin/uv pip sync -q --python /opt/crossdock/bin/python --compile-bytecode --require-hashes requirements-image.lock
COPY . .
# All build tools, Node too, come from the lock of the repository, and the packages of the console from its own lock. The last
# line removes a file that uv leaves, which everyone may write.
RUN --mount=type=cache,target=/root/.cache --mount=type=cache,target=/root/.npm \
    CROSSDOCK_THIS_PYTHON=1 python3 deploy/local/bootstrap.py install \
    && CROSSDOCK_CONSOLE_BUILD="$(.venv/bin/python -m crossdock_local.console build)" && export CROSSDOCK_CONSOLE_BUILD \
    && for each in libs/* services/* cli; do \
        .venv/bin/uv build -q --wheel --no-build-isolation --python .venv/bin/python -o /wheels "$each" || exit 1; done \
    && .venv/bin/uv pip install -q --python /opt/crossdock/bin/python --compile-bytecode --no-deps --offline /wheels/*.whl \
    && rm -f /opt/crossdock/.lock
RUN --mount=type=cache,target=/root/.cache /tools/bin/uv venv -q /sbom \
    && /tools/bin/uv pip sync -q --python /sbom/bin/python --require-hashes requirements-sbom.lock \
    && /sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o /opt/crossdock/sbom.cdx.json /opt/crossdock/bin/python

# The issuer and the post office of a development stack, which no other image has: docker-compose.yml uses them.
FROM build AS development-packages
RUN --mount=type=cache,target=/root/.cache \
    .venv/bin/uv build -q --wheel --no-build-isolation --python .venv/bin/python -o /development deploy/local \
    && .venv/bin/uv pip install -q --target /opt/development --python /opt/crossdock/bin/python --compile-bytecode --no-deps \
        --require-hashes -r requirements-development.lock \
    && .venv/bin/uv pip install -q --target /opt/development --python /opt/crossdock/bin/python --compile-bytecode --no-deps \
        --offline /development/*.whl

FROM ${PYTHON_IMAGE} AS services
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Crossdock" \
      org.opencontainers.image.description="An open event backbone between customers and a supply chain" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# LightGBM's wheel needs this library of the system. No file of the image gives its user rights of another one.
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends libgomp1 >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt/crossdock /opt/crossdock
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/tmp HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib \
    PATH=/opt/crossdock/bin:$PATH CROSSDOCK_HOST=0.0.0.0 CROSSDOCK_OPS_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["/opt/crossdock/bin/python", "-m"]

FROM services AS development
USER 0:0
RUN install -d -o 10001 -g 10001 -m 700 /var/lib/crossdock
COPY --from=development-packages /opt/development /opt/development
ENV PYTHONPATH=/opt/development
USER 10001:10001

# Without `--target` the image of the services is built.
FROM services
