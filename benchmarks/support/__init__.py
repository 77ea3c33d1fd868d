"""The parts that measurements share: interleaved cases, material and tables."""
