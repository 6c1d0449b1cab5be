"""The backend of ONNX models."""
