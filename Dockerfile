# The tracker with its live page, its batch command and its exports, on a CPU:
#   docker build -t tracker .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" -v tracker-cache:/cache tracker run traffic.mp4
FROM python:3.12-slim

# What OpenCV's wheel takes from the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    TRACKER_CACHE=/cache

WORKDIR /src
COPY . .
RUN pip install '.[batch,live,scene,export,pandas]'

# The default encoder is frozen and proved here, once, and a short run shows that everything is there: else no image.
# Whoever runs the image may write to the cache: what is fetched and measured later goes there.
WORKDIR /data
RUN mkdir -p /cache \
    && python -m videos make crossing --frames 25 --output /tmp/crossing \
    && python -m tracker run /tmp/crossing/crossing.mp4 --detector motion --output /tmp/run \
    && rm -rf /tmp/crossing /tmp/run \
    && chmod -R a+rwX /cache

USER 1000:1000
VOLUME ["/cache"]
EXPOSE 8080
ENTRYPOINT ["python", "-m", "tracker"]
CMD ["--help"]
