# The annotation server from this repository; the context is the repository.
FROM docker.io/library/python:3.11-slim-bookworm
COPY requirements.txt /opt/petlesion/
COPY compat /opt/petlesion/compat
WORKDIR /opt/petlesion
RUN grep -v '^\./' requirements.txt > locked.txt \
    && pip install --no-cache-dir --no-deps -r locked.txt ./compat/pydicom_seg
COPY . /opt/petlesion
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
EXPOSE 8000
ENTRYPOINT ["petlesion", "serve"]
