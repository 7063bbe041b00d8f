"""The ground floor that every package may use: data types, protocols, boxes, files, TensorFlow's late import."""
