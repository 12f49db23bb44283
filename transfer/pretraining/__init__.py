"""Continued self-supervised pre-training of a wav2vec 2.0 encoder. Read `pretrain.pretrain`."""
