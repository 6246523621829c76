# Server and worker in one image; which of them runs is the command. See docs/how-to/deploy.md.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY .ci/constraints.txt .ci/constraints.txt
COPY engage engage
COPY sql sql
COPY notebooks notebooks
COPY data/campaigns data/campaigns
COPY data/labels.toml data/prices.toml data/
COPY data/sample data/sample
RUN python -m venv /opt/engage \
    && /opt/engage/bin/pip install --no-cache-dir -c .ci/constraints.txt '.[all]'

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /workspace engage \
    && mkdir /workspace \
    && chown engage:engage /workspace
COPY --from=build /opt/engage /opt/engage
ENV PATH=/opt/engage/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ENGAGE_WORKSPACE=/workspace/engage
USER engage
WORKDIR /workspace
VOLUME /workspace
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["engage", "serve", "--notebooks", "--host", "0.0.0.0"]
