# aigrob on a CUDA device. UNTRIED: written where there was neither Docker nor a GPU.
#
#   docker build --tag aigrob .
#   docker run --rm --gpus all --ipc host --volume "$PWD:/work" aigrob attack --device cuda --eps 4/255
#
# The wheels of torch bring CUDA along: the host needs NVIDIA's driver and container toolkit, and no CUDA. Not the slim image:
# foolbox wants a git.
FROM python:3.11-bookworm

# As in the README: torchattacks pins a requests of 2020 that it never imports.
RUN --mount=type=bind,target=/source,rw \
    pip install --no-cache-dir --constraint /source/constraints.txt /source \
    && pip install --no-cache-dir --no-deps --upgrade 'requests>=2.33' 'urllib3>=2.7' 'idna>=3.15' 'charset-normalizer>=3.4'

WORKDIR /work
ENTRYPOINT ["aigrob"]
