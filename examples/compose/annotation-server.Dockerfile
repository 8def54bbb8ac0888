# The annotation server from this repository; the context is the repository, as .dockerignore there restricts it.
FROM docker.io/library/python:3.11-slim-bookworm
COPY requirements.txt /opt/petlesion/
COPY compat /opt/petlesion/compat
WORKDIR /opt/petlesion
RUN grep -v '^\./' requirements.txt > locked.txt \
    && pip install --no-cache-dir --no-deps -r locked.txt ./compat/pydicom_seg
COPY . /opt/petlesion
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
# An empty volume mounted here takes over what the image holds: the network that ships, to begin with.
RUN petlesion export --model unet -o /models \
    && useradd --uid 10001 --home-dir /data --create-home petlesion && chown -R petlesion: /models
USER petlesion
EXPOSE 8000
ENTRYPOINT ["petlesion", "serve"]
