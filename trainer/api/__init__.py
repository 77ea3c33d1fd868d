"""What notebooks and scripts use, by `import surgstream`: corpora, clips, encoders, evaluation."""
