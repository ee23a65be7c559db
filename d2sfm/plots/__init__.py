"""Pictures of data that others computed: overlays on photographs by OpenCV, scenes and curves by Matplotlib."""
