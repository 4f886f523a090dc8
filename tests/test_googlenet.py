"""The zoo's two small networks of ages and genders: rebuilt to the byte, and against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from test_caffe_networks import crops
from zoo_googlenet import zoo_googlenet

from numpyvgg import InferenceSession

#: name -> file, classes, bytes of the published file by the zoo's own Git LFS pointer
NETWORKS = {
    "age-googlenet": ("age_googlenet.onnx", 8, 23_960_165),
    "gender-googlenet": ("gender_googlenet.onnx", 2, 23_935_566),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("file", "classes", "size"), NETWORKS.values(), ids=NETWORKS)
def test_the_rebuilt_network_is_the_published_one_in_size_and_onnx_runtimes_in_its_answers(file, classes, size):
    data = zoo_googlenet(file, classes).SerializeToString()
    assert len(data) == size
    theirs, ours = onnxruntime.InferenceSession(data), InferenceSession(data)
    assert [value.name for value in ours.get_outputs()] == ["loss3/loss3_Y"]
    for image in crops(4, 224):
        (expected,) = theirs.run(None, {"input": image[None]})
        assert expected.max() < 0.99, "answers without doubt hide differences"
        assert np.abs(ours.run(None, {"input": image[None]})[0] - expected).max() <= 1e-6
