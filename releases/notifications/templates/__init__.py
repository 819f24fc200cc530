"""The texts of messages and documents: which events are told, the shipped words, and how places are filled."""
