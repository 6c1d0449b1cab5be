"""What `--help` shows, and what is suggested for an unknown flag."""

import re

import pytest

from beamscope.pipelines.jobs.parser import job_parser
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.main import main
from beamscope.pipelines.options.command_line import Parser, check_flags
from beamscope.pipelines.options.suggestions import suggest
from beamscope.pipelines.runners.beam_internals import add_options, all_options
from beamscope.transforms.problems import InputError

OWN = {"--input", "--output", "--mpp", "--patch_size", "--stride", "--tissue", "--min_tissue",
       "--tissue_threshold", "--batch_size", "--block_size", "--model", "--manifest",
       "--cache_gb", "--cache_dir", "--mask_classes", "--masks"}  # fmt: skip


def beam_flags():
    parser = Parser(add_help=False)
    add_options(parser, all_options())
    return parser.flags()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--threshold", "--tissue_threshold"),
        ("--tissue-threshold", "--tissue_threshold"),
        ("--treshold", "--tissue_threshold"),
        ("--tissue_treshold", "--tissue_threshold"),
        ("--mmp", "--mpp"),
        ("--outptu", "--output"),
        ("--outdir", "--output"),
        ("--tile_size", "--patch_size"),
        ("--patch-size", "--patch_size"),
        ("--patchsize", "--patch_size"),
        ("--batch", "--batch_size"),
        ("--step_size", "--stride"),
        ("--resolution", "--mpp"),
        ("--classes", "--mask_classes"),
        ("--runer", "--runner"),
        ("--machine_tipe", "--machine_type"),
        ("--paralelism", "--parallelism"),
        ("--bananas", None),
        ("--quality", None),
        ("--level", None),
    ],
)
def test_suggestions(typed, meant):
    assert suggest(typed, OWN, beam_flags()) == meant


def test_no_flag_of_beam_is_suggested_for_a_word_of_ours():
    """Whatever a word is like, an option of Beam's must be spelled nearly the same."""
    beam = beam_flags()
    for flag in OWN:
        for word in flag.removeprefix("--").split("_"):
            assert suggest(f"--{word}", OWN, beam) in {*OWN, None}, word


def test_check_flags_errors():
    with pytest.raises(InputError, match=r"^--threshold 0.4: unknown flag; did you mean --tissue_"):
        check_flags(["--input", "a", "--threshold", "0.4"], OWN)
    with pytest.raises(InputError, match=r"^--bananas: unknown flag; `beamscope x --help` lists"):
        check_flags(["--bananas"], OWN, command="beamscope x")


def shown(text):
    return set(re.findall(r"^  (?:-h, )?(--\w+)", text, re.M))


@pytest.mark.parametrize("name", JOBS.names())
def test_help_shows_what_everyone_needs_and_help_all_the_rest(name, capsys):
    parser = job_parser(JOBS.get(name))
    for arguments in ([name, "--help"], ["help", name]):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        short = capsys.readouterr().out
        assert 10 <= len(shown(short) - {"--help"}) <= 18
        assert {"--input", "--output"} <= shown(short)
        assert short.count(f"\n  beamscope {name} --") == len(JOBS.get(name).examples) >= 2
        assert f"`beamscope {name} --help_all` shows all {len(parser.actions())} flags." in short
    for arguments in ([name, "--help_all"], ["help", name, "--help_all"]):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        full = capsys.readouterr().out
        assert shown(full) == parser.flags() - {"-h"}
        assert "Every option of Apache Beam works too" in full
    assert short.splitlines()[0].startswith(f"usage: beamscope {name} ")
    assert short.split("\n\n")[0].endswith(" --output DIR [more flags]")


@pytest.mark.parametrize("name", JOBS.names())
def test_the_examples_parse(name):
    job = JOBS.get(name)
    for example in job.examples:
        words = example.replace("\\\n", " ").replace("'", "").split()
        assert words[:2] == ["beamscope", name]
        args = job_parser(job).parse_args(words[2:])
        assert args.output


def test_help_of_a_command_and_of_all(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["help", "status"])
    assert capsys.readouterr().out.startswith("usage: beamscope status")
    assert main(["help"]) == 0
    assert "help slides" in capsys.readouterr().out
    assert main(["slids"]) == 2
    assert capsys.readouterr().err == ("beamscope: unknown command 'slids'; did you mean slides?\n")
