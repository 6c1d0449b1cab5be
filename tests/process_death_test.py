"""The words for how a process died."""

from beamscope.transforms.process_death import death


def test_the_words_of_a_death() -> None:
    assert death(-9) == "was killed by SIGKILL, as the kernel does when memory runs out"
    assert death(-200) == "was killed by signal 200"
