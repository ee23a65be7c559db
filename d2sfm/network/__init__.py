"""The network: VGG16 from conv1_1 to conv4_3, what enters it, and where it is computed."""
