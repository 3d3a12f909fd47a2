"""`toughen tokenizer compile` writes a table, and `toughen cpp-dir` names the folder that reads it."""

from pathlib import Path

from deploy.pipelines import bert
from toughen.cli import main
from toughen.deploy.table import Reading, compile_table


def test_a_tokenizer_becomes_a_table(tmp_path, capsys):
    tokenizer = bert()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    asked = ["tokenizer", "compile", str(tmp_path / "tokenizer"), "--to", str(tmp_path / "t.bin")]
    assert main([*asked, "--max-length", "40", "--words"]) == 0
    assert (tmp_path / "t.bin").read_bytes() == compile_table(tokenizer, Reading(40, words=True))
    assert f"{tmp_path / 't.bin'}: " in capsys.readouterr().out
    assert main(asked) == 0
    assert (tmp_path / "t.bin").read_bytes() == compile_table(tokenizer, Reading(512))


def test_what_is_no_tokenizer_is_refused(tmp_path, capsys):
    assert main(["tokenizer", "compile", str(tmp_path), "--to", str(tmp_path / "t.bin")]) == 2
    assert "is no tokenizer" in capsys.readouterr().err
    assert not (tmp_path / "t.bin").exists()


def test_the_folder_of_the_c_files_is_there(capsys):
    assert main(["cpp-dir"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert (folder / "CMakeLists.txt").is_file()
    assert (folder / "include/toughen/classifier.h").is_file()
