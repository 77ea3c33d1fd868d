"""Where the videos of public datasets lie, and which of them are for testing: what presets must agree with."""

from collections.abc import Iterable


def numbered(pattern: str, *numbers: int) -> list[str]:
    return [pattern.format(number) for number in numbers]


BERN = (2, 10, 11, 16, 20, 21, 29, 32, 33, 34, 37, 39, 45, 54, 55, 58, 62, 66, 70)
CATARACT_101 = (
    269, 270, 271, 278, 279, 280, 288, 292, 294, 295, 350, 354, 356, 734, 738, 739, 745, 749, 750, 751, 760, 764, 768,
    770, 771, 778, 781, 784, 785, 786, 788, 796, 797, 799, 801, 802, 804, 806, 807, 808, 809, 810, 817, 821, 825, 827,
    828, 829, 830, 834, 835, 840, 841, 845, 846, 847, 849, 850, 853, 855, 856, 857, 861, 863, 865, 866, 867, 868, 871,
    880, 882, 883, 884, 886, 887, 889, 890, 891, 892, 895, 896, 898, 899, 900, 901, 902, 906, 907, 908, 909, 911, 921,
    922, 925, 926, 928, 929, 931, 932, 933, 934,
)  # fmt: skip
OPHNET = (
    7, 28, 45, 66, 77, 83, 93, 145, 154, 177, 213, 231, 247, 253, 263, 277, 278, 279, 280, 298, 301, 303, 307, 308,
    324, 340, 346, 373, 405, 408, 415, 442, 447, 460, 467, 482, 494, 522, 569, 575, 580, 594, 600, 604, 605, 607, 612,
    616, 629, 635, 644, 661, 664, 698, 704, 732, 747, 748, 770, 771, 772, 784, 787, 800, 807, 819, 820, 843, 846, 858,
    861, 867, 887, 894, 910, 917, 925, 930, 944, 951, 959, 981, 1023, 1061, 1078, 1121, 1122, 1124, 1137, 1161, 1166,
    1170, 1187, 1192, 1201, 1239, 1256, 1269, 1272, 1279, 1283, 1285, 1311, 1331, 1333, 1347, 1357, 1359, 1364, 1371,
    1372, 1373, 1380, 1383, 1422, 1459, 1461, 1480, 1503, 1506, 1510, 1522, 1529, 1558, 1559, 1577, 1582, 1584, 1587,
    1603, 1617, 1640, 1651, 1654, 1691, 1694, 1709, 1764, 1767, 1768, 1780, 1786, 1813, 1815, 1840, 1844, 1846, 1854,
    1870, 1894, 1905, 1908, 1915, 1952,
)  # fmt: skip
CASES = (764, 817, 828, 834, 871, 886, 887, 895, 911, 925)
LESIONS = (3, 10, 19, 20, 21, 25, 27, 38, 42, 45, 57, 64, 69, 70, 75)
CLIPS = [2, 10, 9, 7, 2, 7, 2, 5, 2, 6, 4, 3, 3, 7, 2, 3]

Trees = dict[str, tuple[list[str], list[str]]]
"""Of each dataset what is for training, and what is held out, below the root."""


def surgvista(kind: str, suffix: str, multibypass: str = "") -> Trees:
    """What both of SurgVISTA's presets share."""
    return {
        "heichole": (numbered(f"HeiChole/{kind}/Hei-Chole{{}}{suffix}", *range(1, 25)), []),
        "pitvis": (numbered(f"PitVis/{kind}/video_{{:02}}{suffix}", *range(1, 26)), []),
        "psi_ava": (
            numbered(f"PSI-AVA/{kind}/CASE{{:03}}{suffix}", 1, 2, 3, 4, 15, 18, 21, 47),
            [],
        ),
        "autolaparo": (
            numbered(f"AutoLaparo/{kind}/{{:02}}{suffix}", *range(1, 11)),
            numbered(f"AutoLaparo/{kind}/{{:02}}{suffix}", *range(11, 22)),
        ),
        "bernbypass70": (
            numbered(f"{multibypass}BernBypass70/{kind}/BBP{{:02}}{suffix}", *range(1, 71)),
            [],
        ),
        "strasbypass70": (
            numbered(f"{multibypass}StrasBypass70/{kind}/SBP{{:02}}{suffix}", *range(1, 71)),
            [],
        ),
        "gensurgery": ([f"GenSurgery/{kind}/a hernia{suffix}", f"GenSurgery/{kind}/b{suffix}"], []),
    }


def cholec80(pattern: str, test_pattern: str | None = None) -> tuple[list[str], list[str]]:
    return numbered(pattern, *range(1, 41)), numbered(test_pattern or pattern, *range(41, 81))


def m2cai16(folder: str) -> tuple[list[str], list[str]]:
    return (
        numbered(f"{folder}/videos/workflow_video_{{:02}}.mp4", *range(1, 28)),
        numbered(f"{folder}/videos/test_workflow_video_{{:02}}.mp4", *range(1, 15)),
    )


def apart(
    pattern: str, everything: Iterable[int], held_out: tuple[int, ...]
) -> tuple[list[str], list[str]]:
    return numbered(pattern, *(n for n in everything if n not in held_out)), numbered(
        pattern, *held_out
    )


C3VD = (
    *(f"cecum_{each}" for each in ("t1_a", "t1_b", "t2_a", "t2_b", "t2_c", "t3_a", "t4_a", "t4_b")),
    "desc_t4_a",
    *(f"sigmoid_{each}" for each in ("t1_a", "t2_a", "t3_a", "t3_b")),
    *(f"trans_{each}" for each in ("t1_a", "t1_b", "t2_a", "t2_b", "t2_c", "t3_a", "t3_b", "t4_a", "t4_b")),
)  # fmt: skip
POLYPS = {
    "CVC-300": 60,
    "CVC-ClinicDB": 62,
    "CVC-ColonDB": 380,
    "ETIS-LaribPolypDB": 196,
    "Kvasir": 100,
}
"""Test images of each set."""


def evaluated() -> Trees:
    """What is evaluated on, none of it held out."""
    workflow, tests = m2cai16("M2CAI16-workflow")
    everything = {
        "cholec80": numbered("Cholec80/videos/video{:02}.mp4", *range(1, 81)),
        "m2cai16": [*workflow, *tests],
        "autolaparo": numbered("AutoLaparo/videos/{:02}.mp4", *range(1, 22)),
        "pmlr50": numbered("PmLR50/frames/{:02}", *range(1, 51)),
        "cataracts": [
            f"CATARACTS/videos/{part}{n:02}.mp4" for part in ("train", "test") for n in range(1, 26)
        ],
        "cataract101": numbered("cataract-101/videos/case_{}.mp4", *range(836, 937)),
        "cataract21": numbered("cat-21/videos/case_{:02}.mp4", *range(1, 22)),
        "pitvis": numbered("PitVis/videos/video_{:02}.mp4", *range(1, 26)),
        "ophnet": numbered("OphNet/of a kind/case_{:04}.mp4", *range(743)),
        "multibypass140": [
            f"MultiBypass140/{folder}/videos/{name}{n:02}.mp4"
            for folder, name in (("BernBypass70", "BBP"), ("StrasBypass70", "SBP"))
            for n in range(1, 71)
        ],
        "cholect50": numbered("CholecT50/videos/VID{:02}", *range(1, 49), 103, 111),
        "endoscapes": numbered("Endoscapes/frames/{}", *range(1, 202)),
        "jigsaws": numbered("JIGSAWS/Suturing/video/Suturing_B{:03}_capture1.avi", *range(206)),
        "surgical_actions160": [
            f"SurgicalActions160/{action:02}_x/{action:02}_{clip:02}.mp4"
            for action in range(1, 17)
            for clip in range(1, 11)
        ],
        "aixsuture": numbered("AIxSuture/videos/A{}.mp4", *range(314)),
        "polypdiag": numbered("PolypDiag/videos/clip_{}.mp4", *range(253)),
        "sarrarp50": [
            f"SAR-RARP50/{part}/video_{name}/video_left.avi"
            for part, names in (
                ("train1", [f"{n:02}" for n in range(1, 47)]),
                ("train2", [f"{n}_{half}" for n in (47, 48, 49) for half in (1, 2)]),
                ("test", ["50_1", "50_2"]),
            )
            for name in names
        ],
        "polyps": [
            *numbered("Polyps/TrainDataset/image/cju{}.png", *range(900)),
            *numbered("Polyps/TrainDataset/image/{}.png", *range(1, 551)),
            *(
                f"Polyps/TestDataset/{name}/images/{n}.png"
                for name, count in POLYPS.items()
                for n in range(1, count + 1)
            ),
        ],
        "c3vd": [f"C3VD/{name}" for name in C3VD],
    }
    return {name: (names, []) for name, names in everything.items()}


LAYOUTS: dict[str, Trees] = {
    "evaluate": evaluated(),
    "surgvista": {
        "cholec80": cholec80("Cholec80/videos/video{:02}.mp4"),
        "m2cai16": m2cai16("M2CAI16-workflow"),
        **surgvista("videos", ".mp4", "MultiBypass140/"),
    },
    "surgvista_frames": {
        "cholec80": cholec80("Cholec80/frames/train/video{:02}", "Cholec80/frames/test/video{:02}"),
        "m2cai16": apart("M2CAI16-workflow/frames/video_{:02}", range(1, 42), tuple(range(28, 42))),
        **surgvista("frames", ""),
    },
    "unisurg": {
        "cholec80": cholec80("Cholec80/videos/video{:02}.mp4"),
        "m2cai16": m2cai16("M2CAI16-workflow"),
        **{
            name: surgvista("videos", ".mp4", "MultiBypass140/")[name]
            for name in ("pitvis", "bernbypass70", "strasbypass70", "psi_ava")
        },
        "autolaparo": apart("AutoLaparo/videos/{:02}.mp4", range(1, 22), tuple(range(15, 22))),
        "cataracts": (
            numbered("CATARACTS/videos/train{:02}.mp4", *range(1, 26)),
            numbered("CATARACTS/videos/test{:02}.mp4", *range(1, 26)),
        ),
        "pmlr50": apart("PmLR50/frames/{:02}", range(1, 51), tuple(range(38, 48))),
        "ophnet": apart("OphNet/case_{:04}.mp4", range(2, 1960), OPHNET),
        "jigsaws": (
            [
                f"JIGSAWS/{task}/video/{task}_B001_capture{n}.avi"
                for task in ("Knot_Tying", "Suturing")
                for n in (1, 2)
            ],
            [],
        ),
        **{
            name: ([f"{folder}/a.mp4", f"{folder}/of a kind/b.mp4"], [])
            for name, folder in (
                ("avos", "AVOS"),
                ("copesd", "CoPESD"),
                ("endofm", "EndoFM"),
                ("aixsuture", "AIxSuture"),
                ("egosurgery", "EgoSurgery"),
            )
        },
    },
    "surgrec": {
        "cholec80": cholec80("cholec80/videos/video{:02}.mp4"),
        "m2cai16": m2cai16("M2CAI16-Workflow"),
        "autolaparo": apart("AutoLaparo/videos/{:02}.mp4", range(1, 22), tuple(range(15, 22))),
        "bernbypass70": apart(
            "MultiBypass140/BernBypass70/videos/BBP{:02}.mp4", range(1, 71), BERN
        ),
        "strasbypass70": apart(
            "MultiBypass140/StrasBypass70/videos/SBP{:02}.mp4", range(1, 71), (26, 52, 58)
        ),
        "cataract_101": apart("cataract-101/videos/case_{}.mp4", CATARACT_101, CASES),
        "cataract_1k": apart(
            "cataract-1k/videos/case_{}.mp4",
            range(4687, 5687),
            (5011, 5072, 5261, 5300, 5303, 5315),
        ),
        "cataract_21": apart("cat-21/videos/case_{:02}.mp4", range(1, 22), (18, 19, 20, 21)),
        "sar_rarp50": apart("SAR-RARP50/videos/video_{}.avi", range(1, 51), tuple(range(41, 51))),
        "surgicalactions160": (
            [
                f"SurgicalActions160/{action:02}_x/{action:02}_{clip:02}.mp4"
                for action in range(1, 17)
                for clip in range(1, 11)
                if clip != CLIPS[action - 1]
            ],
            [
                f"SurgicalActions160/{n:02}_x/{n:02}_{clip:02}.mp4"
                for n, clip in enumerate(CLIPS, start=1)
            ],
        ),
        "colonoscopic": (
            numbered(
                "Colonoscopic-web/Adenoma/WL({}).mp4",
                *(n for n in range(1, 77) if n not in LESIONS),
            ),
            [
                f"Colonoscopic-web/Serrated/{light}({n}).mp4"
                for n in LESIONS
                for light in ("NBI", "WL")
            ],
        ),
    },
}
