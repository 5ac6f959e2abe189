# One image for the service, the worker and migrations: the command decides (`serve`, `worker`, `database upgrade`).
#
# The tag is exact. For a release pin the digest as well, so that a moved tag changes nothing:
#     docker buildx imagetools inspect python:3.11.14-slim-bookworm      # prints the digest
#     docker build --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:<digest> .
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# Packages are installed where pip may write; pip's cache and tools stay behind in this stage.
FROM ${PYTHON_IMAGE} AS packages
COPY requirements.txt /build/requirements.txt
RUN python -m venv /opt/ilim/venv \
    && /opt/ilim/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
       --require-hashes --no-deps --only-binary=:all: -r /build/requirements.txt

FROM ${PYTHON_IMAGE} AS ilim
# A fixed number, so that a mounted volume can be given to it: chown 10001:10001.
RUN groupadd --system --gid 10001 ilim \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin ilim \
    && install -d -o ilim -g ilim -m 0700 /data
COPY --from=packages /opt/ilim/venv /opt/ilim/venv
WORKDIR /opt/ilim/app
COPY alembic.ini ./
COPY migrations ./migrations
COPY service ./service
# Nothing is written beside the code: the root file system may be read-only (`docker run --read-only --tmpfs /tmp`).
ENV PATH=/opt/ilim/venv/bin:$PATH \
    PYTHONPATH=/opt/ilim/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ILIM_DEPLOYMENT=production \
    ILIM_HOST=0.0.0.0 \
    ILIM_DATA_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000 8002
# Secrets come by the environment or by a mounted .env at run time, never by a layer of this image.
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
