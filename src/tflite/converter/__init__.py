"""From a torch module to TensorFlow Lite: a table of operations, and a second route by ONNX."""
