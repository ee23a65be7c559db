import pytest

from d2sfm.training.scene_lists import read_scene_list


def test_order_is_kept_and_comments_are_passed_over(tmp_path):
    path = tmp_path / "scenes.txt"
    path.write_text("# mine\n0002\n\n  church \r\n0001", encoding="utf-8")
    assert read_scene_list(path) == ["0002", "church", "0001"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lists no scene"),
        (b"# 0001\n\n", "lists no scene"),
        (b"0001\n0002\n0001\n", "scene 0001 more than once"),
        (b"0001 0002\n", "found '0001 0002'"),
        (b"../0001\n", "found '../0001'"),
        (b"..\n", "found '..'"),
        (b"\xff\xfe0\n", "expected a text file"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, content, message):
    path = tmp_path / "scenes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refusal:
        read_scene_list(path)
    assert str(path) in str(refusal.value)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "scenes.txt"
    path.write_text("0000\n0001\n", encoding="utf-8-sig")
    assert read_scene_list(path) == ["0000", "0001"]


def test_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such list of scenes: .*scenes\.txt"):
        read_scene_list(tmp_path / "scenes.txt")
