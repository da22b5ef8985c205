# One image for every process of the shop. docker-compose.yml has the command of each container.

FROM python:3.13-slim-trixie AS packages
WORKDIR /build
COPY requirements.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes --requirement requirements.txt

FROM python:3.13-slim-trixie
# A numeric user, so Kubernetes can check "not root" without reading /etc/passwd. /data is for volumes: a new volume
# gets the owner of the folder that it covers.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin backroom \
    && install --directory --owner=backroom --group=backroom --mode=0700 /data
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BACKROOM_VAR=/srv/var
WORKDIR /srv/backroom
COPY . .
# Put the hashed static files into the image, in $BACKROOM_VAR/static. Settings must be complete, but this connects to
# nothing, and the image keeps none of these values.
RUN SECRET_KEY=only-here-so-that-settings-load-while-the-image-is-built-0123456789 \
    DATABASE_URL=postgres://none:none@127.0.0.1:9/none BROKER_URL=redis://127.0.0.1:9/0 \
    python manage.py collectstatic --noinput && install -d -o 10001 -g 10001 /srv/var/files
USER 10001:10001
