"""`numpyvgg bench` from a checkout: measure this package against the other systems that are installed.

python tools/bench.py age.onnx --json bench.json
"""

import sys

from numpyvgg.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
