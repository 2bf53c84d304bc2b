"""Readers of evaluation sets on small trees in the layouts in which the sets are distributed."""

import shutil

import numpy as np
import pytest

from stif_core.evaluation.datasets import DATASETS, read_dataset
from stif_core.evaluation.datasets.files import read_table
from stif_core.evaluation.datasets.otb import FRAMES
from stif_core.evaluation.datasets.uav123 import sequence_places
from stif_core.evaluation.datasets.vot import region_to_box
from stif_core.evaluation.protocols import PROTOCOLS, score

BOX = "11,21,30,40\n"


def numbers(sequence):
    return [int(path.stem) for path in sequence.images]


# GOT-10k


def got10k_video(place, boxes=4):
    return {f"{place}/{number:08d}.jpg": None for number in range(1, 5)} | {f"{place}/groundtruth.txt": BOX * boxes}


@pytest.fixture
def got10k_val(write_tree):
    names = ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]
    files = {"val/list.txt": "\n".join(names)}
    for name in names:
        files |= got10k_video(f"val/{name}")
        files |= {
            f"val/{name}/absence.label": "0\n0\n1\n0\n",
            f"val/{name}/cover.label": "8\n0\n0\n3\n",
            f"val/{name}/cut_by_image.label": "0\n" * 4,
            f"val/{name}/meta_info.ini": "[METAINFO]\nurl: https://youtu.be/x\nresolution: (1920, 1080)",
        }
    return write_tree(files)


def test_got10k_validation_has_absence_cover_and_size(got10k_val):
    dataset = read_dataset("got10k-val", got10k_val)
    assert (dataset.name, dataset.protocol) == ("got10k-val", "got10k")
    sequence = dataset.sequences[0]
    assert sequence.name == "GOT-10k_Val_000001"
    assert sequence.truth[[0, 3]].tolist() == [[10, 20, 30, 40]] * 2
    assert sequence.present.tolist() == [True, False, False, True]
    assert sequence.absent.tolist() == [False, False, True, False]
    assert sequence.cover.tolist() == [8, 0, 0, 3]
    assert sequence.image_size() == (1920, 1080)
    assert np.count_nonzero(~np.isnan(score("got10k", sequence, sequence.truth).overlap)) == 1


def test_got10k_test_set_gives_the_first_box_alone(write_tree):
    root = write_tree({"test/list.txt": "GOT-10k_Test_000001\n"} | got10k_video("test/GOT-10k_Test_000001", boxes=1))
    (sequence,) = read_dataset("got10k-test", root).sequences
    assert sequence.truth.tolist() == [[10, 20, 30, 40]]
    assert not sequence.has_truth
    assert sequence.image_size() == (8, 8)
    assert len(list(sequence.frames())) == 4


def test_half_extracted_got10k_is_named(got10k_val):
    video = got10k_val / "val" / "GOT-10k_Val_000002"
    (video / "cover.label").unlink()
    with pytest.raises(ValueError, match=r"GOT-10k is missing or half extracted: expected the file .*02/cover\.label"):
        read_dataset("got10k-val", got10k_val)
    (video / "00000004.jpg").unlink()
    with pytest.raises(ValueError, match="3 images, 4 boxes"):
        read_dataset("got10k-val", got10k_val)
    shutil.rmtree(video)
    with pytest.raises(ValueError, match=r"expected the .* .*GOT-10k_Val_000002"):
        read_dataset("got10k-val", got10k_val)
    with pytest.raises(ValueError, match=r"expected the file .*test/list\.txt"):
        read_dataset("got10k-test", got10k_val)


# LaSOT


@pytest.fixture
def lasot(write_tree):
    files = {}
    for name in read_table("lasot"):
        place = f"{name.rsplit('-', 1)[0]}/{name}"
        files |= {f"{place}/img/{number:08d}.jpg": None for number in (1, 2, 3)}
        files |= {
            f"{place}/groundtruth.txt": "1,1,5,5\n0,0,0,0\n2,2,5,5\n",
            f"{place}/full_occlusion.txt": "0,1,0",
            f"{place}/out_of_view.txt": "0,0,0",
        }
    files["monkey/monkey-17/img/00000004.jpg"] = None
    return write_tree(files)


def test_lasot_reads_the_280_test_videos_with_absence_and_attributes(lasot):
    sequences = {sequence.name: sequence for sequence in read_dataset("lasot", lasot).sequences}
    assert len(sequences) == 280
    assert list(sequences)[:2] == ["airplane-1", "airplane-9"]
    airplane = sequences["airplane-1"]
    assert airplane.truth[[0, 2]].tolist() == [[0, 0, 5, 5], [1, 1, 5, 5]]
    assert airplane.absent.tolist() == [False, True, False]
    assert airplane.present.tolist() == [True, False, True]
    assert airplane.attributes == {"POC", "ROT", "SV", "LR"}


def test_lasot_counts_of_monkey_17_the_images_that_have_a_box(lasot):
    sequences = {sequence.name: sequence for sequence in read_dataset("lasot", lasot).sequences}
    assert numbers(sequences["monkey-17"]) == [1, 2, 3]


def test_lasot_without_a_label_file_is_named(lasot):
    (lasot / "zebra/zebra-10/out_of_view.txt").unlink()
    with pytest.raises(ValueError, match=r"expected the file .*zebra-10/out_of_view\.txt"):
        read_dataset("lasot", lasot)


# TrackingNet


@pytest.fixture
def trackingnet(write_tree):
    files = {f"TEST/frames/-3TIfnTSM6c_2/{number}.jpg": None for number in range(12)}
    files |= {f"TEST/frames/a1qoB1eERn0_0/{number}.jpg": None for number in range(2)}
    files |= {"TEST/anno/-3TIfnTSM6c_2.txt": "1.00,102.00,245.00,174.00\n", "TEST/anno/a1qoB1eERn0_0.txt": BOX}
    return write_tree(files)


def test_trackingnet_reads_frames_in_order_and_the_first_box(trackingnet):
    first, second = read_dataset("trackingnet", trackingnet).sequences
    assert first.name == "-3TIfnTSM6c_2"
    assert numbers(first) == list(range(12))
    assert first.truth.tolist() == [[0, 101, 245, 174]]
    assert not first.has_truth
    assert len(second.images) == 2


def test_trackingnet_with_all_boxes_can_be_scored(trackingnet):
    (trackingnet / "TEST/anno/a1qoB1eERn0_0.txt").write_text(BOX * 2)
    sequence = read_dataset("trackingnet", trackingnet).sequences[1]
    assert score("trackingnet", sequence, sequence.truth).figures["success"] == 1


def test_trackingnet_that_is_not_extracted_is_named(trackingnet):
    shutil.rmtree(trackingnet / "TEST/frames/a1qoB1eERn0_0")
    with pytest.raises(ValueError, match=r"expected the folder .*TEST/frames/a1qoB1eERn0_0"):
        read_dataset("trackingnet", trackingnet)
    with pytest.raises(ValueError, match=r"expected the folder .*TEST/anno"):
        read_dataset("trackingnet", trackingnet / "TEST")


# OTB


@pytest.fixture
def otb(write_tree):
    """Two images a video; of David, Freeman4 and BlurCar3, more than have a box."""
    files = {}
    for name in read_table("otb100"):
        video, _, target = name.partition(".")
        first, _ = FRAMES.get(video, (1, None))
        digits = 5 if video == "Board" else 4
        files |= {f"{video}/img/{number:0{digits}d}.jpg": None for number in (first, first + 1)}
        files[f"{video}/groundtruth_rect{'.' + target if target else ''}.txt"] = "11\t21\t30\t40\r\n12\t21\t30\t40\r\n"
    files["Human4/groundtruth_rect.1.txt"] = ""
    for number in [*range(1, 300), *range(302, 772)]:
        files[f"David/img/{number:04d}.jpg"] = None
    files["David/groundtruth_rect.txt"] = BOX * 471
    for number in range(1, 286):
        files[f"Freeman4/img/{number:04d}.jpg"] = None
    files["Freeman4/groundtruth_rect.txt"] = "11 21 30 40\n" * 283
    return write_tree(files)


def test_otb_reads_100_sequences_with_their_frame_ranges(otb):
    dataset = read_dataset("otb100", otb)
    sequences = {sequence.name: sequence for sequence in dataset.sequences}
    assert len(sequences) == 100 and dataset.protocol == "otb"
    assert (numbers(sequences["David"])[0], numbers(sequences["David"])[-1]) == (300, 770)
    assert numbers(sequences["Freeman4"]) == list(range(1, 284))
    assert numbers(sequences["BlurCar1"]) == [247, 248]
    assert sequences["Crossing"].truth.tolist() == [[10, 20, 30, 40], [11, 20, 30, 40]]
    assert sequences["Crossing"].attributes == {"SV", "DEF", "FM", "OPR", "BC"}


def test_otb_takes_each_target_of_a_video_as_a_sequence(otb):
    sequences = {sequence.name: sequence for sequence in read_dataset("otb100", otb).sequences}
    assert {name for name in sequences if "." in name} == {
        "Human4.2",
        "Jogging.1",
        "Jogging.2",
        "Skating2.1",
        "Skating2.2",
    }
    assert sequences["Jogging.1"].images == sequences["Jogging.2"].images
    assert len({sequence.images[0].parent.parent.name for sequence in sequences.values()}) == 98


def test_otb_with_a_missing_video_or_other_images_is_named(otb):
    (otb / "David/img/0500.jpg").unlink()
    with pytest.raises(ValueError, match=r"David is broken or half extracted: it has 470 images, 471 boxes"):
        read_dataset("otb100", otb)
    shutil.rmtree(otb / "Biker")
    with pytest.raises(ValueError, match=r"OTB100 is missing or half extracted: expected the file .*Biker/groundtruth"):
        read_dataset("otb100", otb)


# WATB


def test_watb_reads_206_folders_with_attributes_of_its_page(write_tree):
    files = {}
    for name in read_table("watb"):
        files |= {f"{name}/img/0001.jpg": None, f"{name}/img/0002.jpg": None, f"{name}/groundtruth_rect.txt": BOX * 2}
    root = write_tree(files)
    dataset = read_dataset("watb", root)
    assert len(dataset.sequences) == 206
    zebra = next(sequence for sequence in dataset.sequences if sequence.name == "Zebra")
    assert zebra.attributes == {"IV", "OPR", "DEF", "FM", "SV", "CM", "OV", "FOC", "SOB", "MB"}
    assert zebra.truth[0].tolist() == [10, 20, 30, 40]
    shutil.rmtree(root / "Zebra")
    with pytest.raises(ValueError, match="has 205 of 206 folders"):
        read_dataset("watb", root)


# UAV123


@pytest.fixture
def uav123(write_tree):
    """Two images where a sequence starts, and all those of bird1_2; in each sequence the target leaves after one."""
    there = {folder: set() for folder, _, _ in sequence_places().values()}
    for folder, first, _ in sequence_places().values():
        there[folder] |= {first or 1, (first or 1) + 1}
    there["bird1"] |= set(range(775, 1478))
    files = {f"data_seq/UAV123/{folder}/{number:06d}.jpg": None for folder, found in there.items() for number in found}
    for name, (folder, first, last) in sequence_places().items():
        frames = sum((first or 0) <= number <= (last or number) for number in there[folder])
        files[f"anno/UAV123/{name}.txt"] = "11,21,30,40\n" + "NaN,NaN,NaN,NaN\n" * (frames - 1)
        files[f"anno/UAV123/att/{name}.txt"] = "1,0,0,0,0,0,0,0,0,0,0,1\n"
    return write_tree(files)


def test_uav123_reads_123_sequences_with_parts_of_folders(uav123):
    dataset = read_dataset("uav123", uav123)
    sequences = {sequence.name: sequence for sequence in dataset.sequences}
    assert len(sequences) == 123 and dataset.protocol == "uav"
    assert numbers(sequences["bird1_2"]) == list(range(775, 1478))
    assert numbers(sequences["bike1"]) == [1, 2]
    assert sequences["bike1"].attributes == {"SV", "SOB"}
    assert sequences["bike1"].present.tolist() == [True, False]
    assert sequences["bike1"].truth[0].tolist() == [10, 20, 30, 40]


def test_uav123_parts_are_those_of_its_configuration():
    places = sequence_places()
    assert places["car1_3"] == ("car1", 1627, 2629)
    assert places["uav1_3"] == ("uav1", 2473, 3469)
    assert places["car1_s"] == ("car1_s", None, None)
    assert "car1" not in places and "car2" in places


def test_uav123_without_an_annotation_is_named(uav123):
    (uav123 / "anno/UAV123/boat7.txt").unlink()
    with pytest.raises(ValueError, match=r"UAV123 is missing .* the file .*anno/UAV123/boat7\.txt"):
        read_dataset("uav123", uav123)


# VOT


def test_vot_reads_rectangles_polygons_masks_and_frames_without_a_target(write_tree):
    lines = ["10,20,30,40", "5,6,15,6,15,26,5,30", "m3,4,4,3,5,2,2,1,2", "0", "nan,nan,nan,nan"]
    files = {f"bag/color/{number:08d}.jpg": None for number in range(1, 6)}
    root = write_tree(files | {"list.txt": "bag\n", "bag/groundtruth.txt": "\n".join(lines)})
    dataset = read_dataset("vot", root)
    (sequence,) = dataset.sequences
    assert (sequence.name, dataset.protocol, sequence.origin) == ("bag", "folder", 0)
    assert sequence.truth[:2].tolist() == [[10, 20, 30, 40], [5, 6, 10, 24]]
    # Rows of the mask: 0000, 0110, 0100 (a run goes over the end of a row): columns 1 to 2, rows 1 to 2.
    assert sequence.truth[2].tolist() == [4, 5, 1, 1]
    assert sequence.present.tolist() == [True, True, True, False, False]


def test_vot_before_2017_keeps_images_beside_the_truth(write_tree):
    root = write_tree({"list.txt": "bag", "bag/00000001.jpg": None, "bag/groundtruth.txt": "1,2,3,4"})
    assert len(read_dataset("vot", root).sequences[0].images) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "expected a rectangle, a polygon, a mask or a single number, got '1,2,3'"),
        ("m1,2,3", "expected a rectangle"),
        ("a,b,c,d", "expected a rectangle"),
        ("m0,0,2,2,1,4", "the mask's runs cover 5 pixels, but its rectangle 2 x 2"),
    ],
)
def test_broken_vot_regions_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        region_to_box(text)


def test_empty_vot_masks_hold_no_target():
    assert np.isnan(region_to_box("m0,0,2,2,4")).all()


# All


def test_every_data_set_has_a_known_protocol_and_a_clear_error_without_data(tmp_path):
    for name in DATASETS:
        with pytest.raises(ValueError, match=str(tmp_path)):
            read_dataset(name, tmp_path)
    with pytest.raises(ValueError, match="unknown data set 'nfs': use one of folder, got10k-val"):
        read_dataset("nfs", tmp_path)


def test_folder_data_set_is_scored_as_before(write_tree):
    root = write_tree({"a/img/1.jpg": None, "a/img/2.jpg": None, "a/groundtruth.txt": "1,2,3,4\n1,2,3,4\n"})
    dataset = read_dataset("folder", root)
    assert dataset.protocol == "folder" and dataset.protocol in PROTOCOLS
    assert dataset.sequences[0].truth[0].tolist() == [1, 2, 3, 4]
