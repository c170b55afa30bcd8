# Sourced by scripts of bench/ that run the peers: sets $python to the interpreter of their environment, made where missing.
venv=${PANTILE_PEERS_VENV:-$here/build/peers-venv}
python=$venv/bin/python
if ! "$python" -c 'import nncf, onnxruntime, openvino, pycocotools, torchvision' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/bench/peers-requirements.txt"
fi
