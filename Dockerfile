# Captionize in one image: TorchServe, the page, or both (the default). `make image` builds it.
#
# DEVICE       cpu, or cuda for NVIDIA GPUs (the driver comes from the host)
# TORCH_INDEX  an additional package index for PyTorch; for a small cpu image, the index of CPU wheels
#              given at pytorch.org/get-started
ARG DEVICE=cpu

FROM debian:bookworm-slim AS build
ARG DEVICE
ARG TORCH_INDEX=""
# Debian's stable packages get security fixes without new versions; a pin would hold them back.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Makefile pyproject.toml constraints.txt ./
RUN PIP_NO_CACHE_DIR=1 make VENV=/opt/venv TORCH_INDEX="$TORCH_INDEX" EXTRAS_serve=fleet sbom \
    && rm -r /opt/venv/sbom \
    && { [ "$DEVICE" != cuda ] \
        || /opt/venv/bin/python -c 'import torch; assert torch.version.cuda, "no CUDA in this torch"'; }

FROM debian:bookworm-slim AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /run/captionize captionize \
    && install --directory --owner=captionize --group=captionize --mode=0700 \
        /run/captionize /var/lib/captionize
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY captionize.py config.properties ./
COPY basics ./basics
COPY webui ./webui
COPY model_store ./model_store
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CAPTIONIZE_HOST=0.0.0.0 \
    CAPTIONIZE_RUN_DIR=/run/captionize \
    CAPTIONIZE_STATE_DIR=/var/lib/captionize
USER 10001:10001
EXPOSE 8000
# Ready, not merely alive: the page has a READY worker behind it.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-m", "webui.serve", "--check"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "webui.serve"]

FROM runtime AS device-cpu
ENV TS_NUMBER_OF_GPU=0

FROM runtime AS device-cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# hadolint ignore=DL3006
FROM device-${DEVICE}
