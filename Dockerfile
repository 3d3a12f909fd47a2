# Serves an exported folder on ONNX Runtime, without PyTorch:
#     docker build -t toughen-serve .
#     docker run --rm -p 8080:8080 -v "$PWD/exported:/model:ro" toughen-serve
FROM python:3.12-slim

# The base dependencies of the package hold PyTorch (about 200 MB to download and 700 MB on disk for CPUs, several GB
# with CUDA) and what training needs. Serving an exported folder imports none of it, so these are the ones it does
# import, and the package itself goes in without its dependencies. A run folder cannot be served by this image.
RUN pip install --no-cache-dir \
    "fastapi>=0.115" "numpy>=1.26" "onnxruntime>=1.21" "prometheus-client>=0.21" "PyYAML>=6.0" "rich>=13.9" \
    "tokenizers>=0.21" "typer>=0.15" "uvicorn>=0.32"

COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install --no-cache-dir --no-deps /src && rm -rf /src

RUN useradd --system --no-create-home --shell /usr/sbin/nologin toughen
USER toughen

ENV PYTHONUNBUFFERED=1
EXPOSE 8080
# Draining takes at most --timeout; give `docker stop --time` as much.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["toughen", "serve", "/model", "--host", "0.0.0.0", "--port", "8080"]
