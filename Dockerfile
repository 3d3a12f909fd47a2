# Serves an exported folder on ONNX Runtime, without PyTorch:
#     docker build -t toughen-serve .
#     docker run --rm -p 8080:8080 -v "$PWD/exported:/model:ro" toughen-serve
FROM python:3.12-slim

# The package without the extra `train`: no PyTorch (700 MB on disk for CPUs, several GB with CUDA), no transformers.
# So a run folder cannot be served by this image.
COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
COPY cpp /src/cpp
RUN pip install --no-cache-dir "/src[serve]" && rm -rf /src

RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 toughen
# By number: Kubernetes' runAsNonRoot does not look names up.
USER 10001:10001

ENV PYTHONUNBUFFERED=1
EXPOSE 8080
# Draining takes at most --timeout; give `docker stop --time` as much.
STOPSIGNAL SIGTERM
# Whether it lives. /readyz is 503 while the queue is full, which is no reason to restart it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["toughen", "serve", "/model", "--host", "0.0.0.0", "--port", "8080"]
