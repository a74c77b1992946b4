"""Histories of the whole platform by the thousand: what a seed stands for, its run, its story, and the least of it."""
