# One image for every process of the shop; docker-compose.yml says which one a container is.

FROM python:3.13-slim-trixie AS packages
WORKDIR /build
COPY requirements.in requirements.txt ./
# What the shop itself imports: not the embedded servers, for which there are containers, and not the tools of proof.
# The versions are those of requirements.txt all the same.
RUN sed '/^# a whole house/,$d' requirements.in > shop.in \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement shop.in --constraint requirements.txt

FROM python:3.13-slim-trixie
# A user by number, so that whoever enforces "not root" can tell without reading /etc/passwd. /data is for volumes: a
# new one takes over the owner of the folder that it covers.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin backroom \
    && install --directory --owner=backroom --group=backroom --mode=0700 /data
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BACKROOM_VAR=/srv/var
WORKDIR /srv/backroom
COPY . .
# The static files with their hashes go into the image, $BACKROOM_VAR/static. Settings want to be complete, but
# nothing is connected to, and none of these values stays.
RUN SECRET_KEY=only-here-so-that-settings-load-while-the-image-is-built-0123456789 \
    DATABASE_URL=postgres://nobody:none@127.0.0.1:9/none BROKER_URL=redis://127.0.0.1:9/0 \
    python manage.py collectstatic --noinput
USER 10001:10001
