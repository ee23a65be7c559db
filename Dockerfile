# d2sfm for processors, without CUDA. ADDRESS is the one that https://pytorch.org/get-started/locally/ gives for CPU:
#
#   docker build --build-arg TORCH_INDEX=ADDRESS --tag d2sfm .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" d2sfm run photos
FROM python:3.12-slim

ARG TORCH_INDEX
RUN test -n "$TORCH_INDEX" || { echo "give PyTorch's index of CPU builds: --build-arg TORCH_INDEX=ADDRESS" >&2; exit 1; }
# Before the sources, so that a change of these does not fetch it again.
RUN pip install --no-cache-dir "torch>=2.4" "torchvision>=0.19" --index-url "$TORCH_INDEX"

COPY setup.py setup.cfg README.md LICENSE /source/
COPY d2sfm /source/d2sfm
COPY megadepth_utils /source/megadepth_utils
RUN pip install --no-cache-dir "/source[phone,raw,video,geo]" \
    && rm -r /source \
    && useradd --uid 1000 d2sfm \
    # A home for whoever --user names: weights that are fetched, caches.
    && install --directory --mode 1777 /home/d2sfm

ENV HOME=/home/d2sfm
USER 1000
WORKDIR /data
VOLUME /data
ENTRYPOINT ["d2sfm"]
CMD ["--help"]
