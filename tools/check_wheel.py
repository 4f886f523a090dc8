"""What someone does first with an installed wheel, in a folder that has nothing; a program, for .ci/run."""

import json
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpyvgg
from numpyvgg.photo.answers import Value

package = Path(numpyvgg.__file__).parent
assert package.is_relative_to(sysconfig.get_paths()["purelib"]), package
assert version("numpyvgg") == numpyvgg.__version__
assert (package / "py.typed").is_file()
assert (package / "report" / "page.html").is_file()
assert not list(Path().iterdir())


def numpyvgg_command(*words: str) -> str:
    """What the installed command prints."""
    command = [str(Path(sys.executable).with_name("numpyvgg")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


assert numpyvgg_command("--version") == f"numpyvgg {numpyvgg.__version__}\n"
photograph = package / "data" / "eileen_collins.jpg"
answers = json.loads(numpyvgg_command("predict", str(photograph), "--json"))["answers"]
given = {answer["network"]: answer for answer in answers}
prediction = numpyvgg.predict(photograph)
for network, answer in prediction.answers.items():
    assert not isinstance(answer, Value)  # the bundled networks give distributions
    assert given[network]["probabilities"] == [float(p) for p in answer.probabilities]
assert "ultraface-320" in numpyvgg_command("models")
print(f"numpyvgg {numpyvgg.__version__} from {package}: {prediction}")
