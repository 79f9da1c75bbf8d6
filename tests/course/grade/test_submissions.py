"""Every form in which a class's notebooks arrive, and what strangers may put among them."""

import os
import stat
import struct
import tracemalloc
import zipfile

import pytest

from gmnm_lib.course.grade import submissions
from gmnm_lib.course.grade.records import Student
from gmnm_lib.course.grade.submissions import LARGEST, find_submissions
from gmnm_lib.errors import InputError

ADA = "Ada Lovelace_123456_assignsubmission_file"


def lay(root, **files):
    """Files below `root`; a key's `__` is a slash and its content bytes."""
    for name, content in files.items():
        put(root, name.replace("__", "/") + ".ipynb", content)
    return root


def put(root, name, content=b"{}"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return root


def pack(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def keys(found):
    return [one.student.key for one in found]


def test_a_folder_of_notebooks_has_a_student_a_file(tmp_path):
    found = find_submissions(lay(tmp_path, grace=b"2", ada=b"1"))
    assert [(one.student, one.file, one.content, one.trouble) for one in found] == [
        (Student("ada", "ada"), "ada.ipynb", b"1", ""),
        (Student("grace", "grace"), "grace.ipynb", b"2", ""),
    ]


def test_a_folder_a_student_may_be_deep_and_the_files_have_any_name(tmp_path):
    found = find_submissions(lay(tmp_path, ada__week1__final__exercise=b"1", grace__x=b"2"))
    assert [(one.student.key, one.file) for one in found] == [
        ("ada", "ada/week1/final/exercise.ipynb"),
        ("grace", "grace/x.ipynb"),
    ]


@pytest.mark.parametrize("folder", [f"{ADA}_/", f"{ADA}/", f"{ADA}_"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_moodles_download_gives_name_and_number(tmp_path, folder, as_zip):
    """Folders a student, or files that begin with what would be the folder's name."""
    name = f"{folder}exercise.ipynb"
    path = pack(tmp_path / "all.zip", {name: b"1"}) if as_zip else put(tmp_path / "all", name, b"1") / "all"
    path = path if as_zip else tmp_path / "all"
    (one,) = find_submissions(path)
    assert one.student == Student("Ada Lovelace_123456", "Ada Lovelace", moodle="123456")
    assert (one.content, one.trouble) == (b"1", "")


def test_moodles_numbers_tell_two_students_of_one_name_apart(tmp_path):
    path = pack(tmp_path / "all.zip", {f"Ada Lovelace_{n}_assignsubmission_file_/a.ipynb": b"1" for n in (1, 2)})
    assert keys(find_submissions(path)) == ["Ada Lovelace_1", "Ada Lovelace_2"]


def test_text_typed_into_moodle_belongs_to_the_same_student(tmp_path):
    members = {f"{ADA}_/a.ipynb": b"1", "Ada Lovelace_123456_assignsubmission_onlinetext_/onlinetext.html": b"hello"}
    (one,) = find_submissions(pack(tmp_path / "all.zip", members))
    assert (one.content, one.trouble) == (b"1", "")


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize(
    "name", ["lovelaceada_12345_678901_exercise.ipynb", "lovelaceada_LATE_12345_678901_exercise-1.ipynb"]
)
def test_canvass_download_gives_the_users_number(tmp_path, name, as_zip):
    path = pack(tmp_path / "all.zip", {name: b"1"}) if as_zip else put(tmp_path / "all", name, b"1") / "all"
    (one,) = find_submissions(path if as_zip else tmp_path / "all")
    assert one.student == Student("lovelaceada_12345", "lovelaceada", canvas="12345")
    assert (one.content, one.trouble) == (b"1", "")


def test_a_canvas_student_with_a_pdf_only_stays_in_the_list(tmp_path):
    members = {"lovelaceada_1_2_a.ipynb": b"1", "hoppergrace_3_4_report.pdf": b"x", "hoppergrace_3_5_work.zip": b"x"}
    grace, _ = find_submissions(pack(tmp_path / "all.zip", members))
    assert grace.student.canvas == "3" and grace.content == b""
    assert "hoppergrace_3_4_report.pdf" in grace.trouble


def test_names_are_canvass_only_if_all_are(tmp_path):
    """`group_1_2_a` could be Canvas's, but not beside `ada`: the two groups stay two."""
    found = find_submissions(lay(tmp_path, group_1_2_a=b"1", group_1_2_b=b"2", ada=b"3"))
    assert keys(found) == ["ada", "group_1_2_a", "group_1_2_b"]


@pytest.mark.parametrize(
    "name",
    [
        "Eve_777_assignsubmission_file_x_123_assignsubmission_file_/a.ipynb",
        "Eve_123_assignsubmission_file_x_777_assignsubmission_file_.ipynb",
        "eve_777_1_x_12345_678901_a.ipynb",
        "eve_777_1_12345_678901_a.ipynb",
    ],
)
def test_nobody_takes_anothers_number_by_a_name(tmp_path, name):
    """Students choose their names and their files'; only one of the two numbers was written by the system."""
    members = {name: b"1", "bob_777_20001_a.ipynb": b"2"}
    bob, eve = sorted(find_submissions(pack(tmp_path / "all.zip", members)), key=lambda one: one.student.key.lower())
    assert bob.content == b"2" and bob.student.key.startswith("bob")
    assert (eve.student.canvas, eve.student.moodle, eve.content) == ("", "", b"")
    assert "numbers of two students" in eve.trouble


def test_small_numbers_in_a_files_name_are_the_files(tmp_path):
    (one,) = find_submissions(pack(tmp_path / "all.zip", {"ada_7_20001_hw_1_2_2024_10_05_final.ipynb": b"1"}))
    assert (one.student.canvas, one.trouble) == ("7", "")


@pytest.mark.parametrize("digits", ["9" * 5000, "\u0661\u0662"])
def test_a_number_that_no_system_gives_is_no_number(tmp_path, digits):
    (one,) = find_submissions(pack(tmp_path / "all.zip", {f"eve_{digits}_20001_a.ipynb": b"1"}))
    assert one.student.canvas == "" and len(one.file) <= 201


def test_one_notebook_is_one_student(tmp_path):
    lay(tmp_path, ada=b"1")
    assert keys(find_submissions(tmp_path / "ada.ipynb")) == ["ada"]


@pytest.mark.parametrize("name", ["ada.IPYNB", "ada.ipynb.txt", "ada.ipynb.json"])
def test_a_browsers_suffix_is_no_part_of_the_student(tmp_path, name):
    assert keys(find_submissions(put(tmp_path, name))) == ["ada"]


def test_a_class_packed_as_one_folder_is_the_same_class(tmp_path):
    path = pack(
        tmp_path / "all.zip", {"class/ada.ipynb": b"1", "class/grace.ipynb": b"2", "__MACOSX/class/._ada.ipynb": b"3"}
    )
    assert keys(find_submissions(path)) == ["ada", "grace"]
    moodle = put(tmp_path / "outer", f"download/{ADA}_/a.ipynb")
    assert keys(find_submissions(moodle)) == ["Ada Lovelace_123456"]


def test_checkpoints_hidden_files_and_other_files_are_ignored(tmp_path):
    lay(tmp_path, ada=b"1")
    for name in (".ipynb_checkpoints/ada-checkpoint.ipynb", "__MACOSX/._ada.ipynb", ".hidden.ipynb", "notes.txt"):
        put(tmp_path, name)
    assert keys(find_submissions(tmp_path)) == ["ada"]


def test_the_marks_of_an_earlier_run_are_no_student(tmp_path):
    put(lay(tmp_path, ada=b"1"), "marks/grades.sqlite")
    put(tmp_path, "marks/feedback/ada.html")
    assert keys(find_submissions(tmp_path)) == ["ada"]


def test_two_different_notebooks_of_one_student_are_for_a_human_to_choose(tmp_path):
    (one,) = find_submissions(lay(tmp_path, ada__a=b"1", ada__b=b"2"))
    assert one.content == b"" and "ada/a.ipynb" in one.trouble and "ada/b.ipynb" in one.trouble
    assert "leave the one that counts" in one.trouble


def test_the_same_notebook_twice_is_one(tmp_path):
    (one,) = find_submissions(lay(tmp_path, ada__a=b"1", ada__copy=b"1"))
    assert (one.file, one.content, one.trouble) == ("ada/a.ipynb", b"1", "")


def test_a_student_without_a_notebook_stays_in_the_list(tmp_path):
    put(lay(tmp_path, ada__a=b"1"), "grace/report.pdf")
    (tmp_path / "hypatia").mkdir()
    found = {one.student.key: one.trouble for one in find_submissions(tmp_path)}
    assert found["ada"] == "" and "report.pdf" in found["grace"] and "no notebook" in found["hypatia"]


def test_a_link_is_not_followed(tmp_path):
    secret = put(tmp_path / "elsewhere", "secret.ipynb", b"secret") / "secret.ipynb"
    folder = lay(tmp_path / "class", ada=b"1")
    (folder / "eve.ipynb").symlink_to(secret)
    (folder / "mallory").symlink_to(secret.parent)
    found = {one.student.key: one for one in find_submissions(folder)}
    assert set(found) == {"ada", "eve", "mallory"}
    assert all(found[name].content == b"" and "link" in found[name].trouble for name in ("eve", "mallory"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(lay(tmp_path, ada=b"1") / "eve.ipynb")
    _, eve = find_submissions(tmp_path)
    assert eve.content == b"" and "pipe" in eve.trouble


def test_a_notebook_of_twenty_megabytes_is_read_and_a_larger_one_is_not(tmp_path):
    found = find_submissions(lay(tmp_path, ada=bytes(LARGEST), eve=bytes(LARGEST + 1)))
    assert [(len(one.content), bool(one.trouble)) for one in found] == [(LARGEST, False), (0, True)]
    assert "larger than 20 MB" in found[1].trouble


def test_a_zip_bomb_is_unpacked_up_to_the_limit_whatever_its_header_says(tmp_path, monkeypatch):
    """30 MB of zeros; the second copy's headers say that it is 10 bytes long."""
    path = pack(tmp_path / "bomb.zip", {"ada.ipynb": b"1", "eve.ipynb": bytes(LARGEST + 10_000_000)})
    _, eve = find_submissions(path)
    assert eve.content == b"" and "larger than 20 MB" in eve.trouble
    lied = path.read_bytes().replace(struct.pack("<I", LARGEST + 10_000_000), struct.pack("<I", 10))
    (tmp_path / "lie.zip").write_bytes(lied)
    _, eve = find_submissions(tmp_path / "lie.zip")
    assert eve.content == b"" and eve.trouble


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_cannot_be_read_in_pieces_is_not_read(tmp_path, compression):
    path = pack(tmp_path / "all.zip", {"ada.ipynb": bytes(1000), "eve.ipynb": b"2"}, compression)
    assert all(one.content == b"" and "unpack the zip file" in one.trouble for one in find_submissions(path))


def test_an_encrypted_member_is_for_a_human(tmp_path):
    path = pack(tmp_path / "all.zip", {"ada.ipynb": b"1"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    (one,) = find_submissions(path)
    assert one.content == b"" and "without a password" in one.trouble


def test_a_damaged_member_is_for_a_human_and_the_others_are_read(tmp_path):
    path = pack(tmp_path / "all.zip", {"ada.ipynb": b"wrong later", "grace.ipynb": b"2"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"wrong later", b"wrong now!!"))
    ada, grace = find_submissions(path)
    assert "damaged" in ada.trouble and grace.content == b"2"


def test_a_packed_stream_that_breaks_off_is_for_a_human(tmp_path):
    path = pack(tmp_path / "all.zip", {"ada.ipynb": os.urandom(500)})
    content = bytearray(path.read_bytes())
    content[30 + len("ada.ipynb")] = 0xFF  # the deflated stream's first byte: a kind of block that there is not
    path.write_bytes(content)
    assert "damaged" in find_submissions(path)[0].trouble


def test_a_bomb_takes_no_more_memory_than_the_limit(tmp_path):
    path = pack(tmp_path / "bomb.zip", {"ada.ipynb": b"1", "eve.ipynb": bytes(8 * LARGEST)})
    tracemalloc.start()
    find_submissions(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * LARGEST


def test_a_zip_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST", 3)
    path = pack(tmp_path / "all.zip", {f"{n}.ipynb": b"1" for n in range(4)})
    with pytest.raises(InputError, match=r"4 files, more than 3: unpack it"):
        find_submissions(path)


def test_of_many_notebooks_of_one_student_none_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "_reader_of_member", lambda *_: pytest.fail)
    path = pack(tmp_path / "all.zip", {f"{ADA}_/{n}.ipynb": b"1" for n in range(11)})
    (one,) = find_submissions(path)
    assert "there are 11 notebooks" in one.trouble and "6 more" in one.trouble


def test_a_path_that_climbs_names_a_student_and_writes_nothing(tmp_path):
    pack(tmp_path / "all.zip", {"../../climber/a.ipynb": b"1", "/etc/b.ipynb": b"2", "win\\c.ipynb": b"3"})
    assert keys(find_submissions(tmp_path / "all.zip")) == ["climber", "etc", "win"]
    assert os.listdir(tmp_path) == ["all.zip"]


def test_names_show_what_cannot_be_seen(tmp_path):
    path = pack(tmp_path / "all.zip", {"eve\u202egnp\x07\x1b[31m.ipynb": b"1"})
    (one,) = find_submissions(path)
    assert one.student.key == one.student.name == "eve\\u202egnp\\x07\\x1b[31m"


def test_names_that_look_the_same_are_two_students(tmp_path):
    folder = tmp_path / "class"
    for name in ("eve\x07.ipynb", "eve\\x07.ipynb"):
        put(folder, name)
    assert len({one.student.name for one in find_submissions(folder)}) == 1
    assert len(set(keys(find_submissions(folder)))) == 2
    long = find_submissions(pack(tmp_path / "long.zip", {"a" * 200 + f"{n}.ipynb": b"1" for n in range(3)}))
    assert len(set(keys(long))) == 3 and max(map(len, keys(long))) <= 120


def test_one_name_spelt_in_two_ways_of_unicode_is_one_student(tmp_path):
    path = pack(tmp_path / "all.zip", {"E\u0301milie/a.ipynb": b"1", "\u00c9milie/b.ipynb": b"1"})
    assert keys(find_submissions(path)) == ["Émilie"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_for_a_human(tmp_path):
    (lay(tmp_path, ada=b"1", eve=b"2") / "eve.ipynb").chmod(0)
    assert "permissions" in find_submissions(tmp_path)[1].trouble
    (tmp_path / "eve.ipynb").chmod(stat.S_IRUSR)


@pytest.mark.parametrize(
    "name, mend",
    [("nowhere", "does not exist"), ("empty", "holds no notebooks"), ("marks.pdf", "neither"), ("broken.zip", "neither"),
     ("only", "holds no notebooks"), ("empty.zip", "holds no notebooks")],
)  # fmt: skip
def test_what_is_no_submission_is_refused_in_one_sentence(tmp_path, name, mend):
    (tmp_path / "empty").mkdir()
    put(tmp_path, "marks.pdf", b"%PDF")
    put(tmp_path, "broken.zip", b"PK\x03\x04 and no more")
    put(tmp_path, "only/ada/report.pdf")
    pack(tmp_path / "empty.zip", {})
    with pytest.raises(InputError, match=mend) as refused:
        find_submissions(tmp_path / name)
    assert name in str(refused.value) and "\n" not in str(refused.value)


def test_a_class_of_a_hundred_is_sorted_and_whole(tmp_path):
    path = pack(tmp_path / "all.zip", {f"S {n}_{n}_assignsubmission_file_/a.ipynb": str(n) for n in range(100)})
    found = find_submissions(path)
    assert keys(found) == sorted(keys(found)) and {int(one.content) for one in found} == set(range(100))
