"""Motion capture files, read and cut into windows; synthetic motion where there are none."""
