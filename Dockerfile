# The command acn without a GPU. What a run writes belongs to whoever starts it:
#   docker build -t autocompress .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" autocompress compress photos/
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD:/work" autocompress serve RUN --host 0.0.0.0
FROM python:3.12-slim
ENV PIP_NO_CACHE_DIR=1 HF_HUB_DISABLE_TELEMETRY=1 HOME=/home/acn
RUN pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /source/
COPY src /source/src
RUN pip install "/source[onnx,serve,timm,transformers]" \
 && rm -rf /source && useradd --create-home acn && mkdir /work && chmod 1777 /work /home/acn
USER acn
WORKDIR /work
ENTRYPOINT ["acn"]
CMD ["--help"]
