"""Captions as captioners write them: good ones, ones that ran into a loop, and any text at all."""

from hypothesis import strategies as st

from beam_recap.prompts import RECAP_PROMPT

GOOD = (
    "The image features a tall, slender lighthouse on a rocky cliff, with waves crashing below it. The lighthouse is "
    "painted in red and white stripes, and its lamp is lit. In the background, the sky is filled with dark clouds, and "
    "a few seagulls can be seen flying near the top of the lighthouse.",
    "The image shows a wooden table with a bowl of fruit on it. There are three apples on the table, one placed near "
    "the left side, another in the middle, and the third on the right side of the table. In addition to the apples, "
    "there are two oranges, one in the middle and the other towards the right side.",
    "On the left side of the image, there is a man wearing a white shirt. On the right side of the image, there is a "
    "woman wearing a white dress.",
    "On the left side of the image, there is a red car. In the middle of the image, there is a blue car. On the right "
    "side of the image, there is a green car.",
    "On the left side of the image, there is a red car. On the right side of the image, there is a blue car. In the "
    "middle of the image, there is a green car. At the top of the image, there is a sign.",
    "A red car, a blue car and a green car are parked in front of a white building.",
    "There is a dog on the left, and there is a dog on the right.",
    "A person in a blue shirt, a person in a green shirt, a person in a red shirt and a person in a yellow shirt.",
    'A poster that says "NO NO NO NO NO NO" in red letters.',
    "The man on the left is wearing a black suit and a white shirt, while the man on the right is wearing a black suit "
    "and a blue shirt. Both men are smiling at the camera.",
    "The first picture shows a woman with long hair. The second picture shows a woman with short hair. The third "
    "picture shows a woman with curly hair.",
    "The top left photo shows a kitchen before the renovation. The top right photo shows a kitchen after the "
    "renovation. The bottom left photo shows a bathroom before the renovation. The bottom right photo shows a bathroom "
    "after the renovation.",
    "A clock with the numbers 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 12 on its face.",
    "Three t-shirts: a black t-shirt with a white logo, a white t-shirt with a black logo, and a grey t-shirt with a "
    "red logo.",
    "There is a red car in the foreground. There is a blue car in the background. There is a man standing next to the "
    "red car. There is a woman standing next to the blue car.",
    "The woman in the red dress is holding a glass of wine in her right hand. The woman in the blue dress is holding a "
    "glass of wine in her left hand.",
    'The first bottle is labeled "Shampoo", the second bottle is labeled "Conditioner", the third bottle is labeled '
    '"Body Wash", and the fourth bottle is labeled "Lotion".',
    "The image shows four icons. The first icon is a red heart, the second icon is a blue star, the third icon is a "
    "green circle, and the fourth icon is a yellow square.",
    "A collage of four photos: a man in a suit standing in front of a car, a man in a suit sitting in a car, a woman "
    "in a dress standing in front of a car, and a woman in a dress sitting in a car.",
    "The player on the left is wearing a white jersey with the number 10 on it, while the player on the right is "
    "wearing a blue jersey with the number 7 on it.",
    "The top row shows a cat, a dog, and a bird. The middle row shows a horse, a cow, and a pig. The bottom row shows "
    "a lion, a tiger, and a bear.",
    "A set of six glass bottles: a clear glass bottle, a green glass bottle, a brown glass bottle, a blue glass "
    "bottle, a small green glass bottle and a large green glass bottle.",
    "The image shows a red square on the left and a red square on the right, with a small white circle in the middle "
    "of the red square on the left and a small black circle in the middle of the red square on the right.",
    "A menu that reads Coffee ........ 3.50, Tea ........ 2.50, Cake ........ 4.00 in an elegant typeface.",
    "A very, very, very tall man stands next to a very small car, and the small car is parked next to a tall tree.",
    "A large red circle to the left of a small red circle, with a large blue square on the far right on a white "
    "background.",
    "This is a close-up portrait of a woman with brown eyes and brown hair. She is wearing a pearl necklace and pearl "
    "earrings, and a black top with lace sleeves. The background is a plain grey wall, lit from the left.",
    "A product photo of a stainless steel water bottle with a black lid. The bottle stands on a white surface, and the "
    "logo of the company is printed in black on the front of the bottle. The background is white.",
    "The chart compares sales by year: 10 in 2019, 12 in 2020, 15 in 2021, 18 in 2022 and 20 in 2023, with a blue bar "
    "for each year and a red line for the average.",
    "A black and white photograph of a black and white cat on a black and white chequered floor.",
    "A cat.",
    "图片左侧有一辆红色的汽车，图片右侧有一辆蓝色的汽车，背景是一座高大的白色建筑物。天空晴朗，地面上有几个行人正在过马路。",
    "这张照片展示了一个穿着白色衬衫的男人和一个穿着白色连衣裙的女人，他们站在海边，背景是蓝色的大海和蓝色的天空。",
    "画像の左側には赤い車があり、右側には青い車があります。背景には高い建物と木があり、空は晴れています。",
    "白い猫が赤いソファの上に座っています。ソファの横には小さな木のテーブルがあり、テーブルの上には青い花瓶が置かれています。",
    "ภาพนี้แสดงให้เห็นผู้ชายสวมเสื้อสีขาวยืนอยู่ทางด้านซ้ายและผู้หญิงสวมชุดสีแดงยืนอยู่ทางด้านขวา",
    "사진 왼쪽에는 빨간 자동차가 있고 오른쪽에는 파란 자동차가 있습니다. 배경에는 높은 건물이 보입니다.",
)
KITCHEN = (
    "The image shows a kitchen with a wooden table, four chairs, and a window that looks out over a garden with tall "
    "trees. On the table there is a vase of yellow tulips, a bowl of apples and a newspaper. The walls are painted "
    "white and a clock hangs above the door. The floor is tiled"
)
LOOPS = (
    "a man with a hat" + " on top of a hat" * 15 + " on",
    "This is a puzzle. The aim is to fill in the missing numbers."
    + " The completed pattern, which typically provides a partial solution, consists of a unique number." * 4,
    "An image of a Christmas tree. " * 4,
    "The cat is white. The cat is white. The cat is white.",
    "a red car, " * 10,
    "the " * 60,
    "The The The The The The",
    "green, green, green, green, green, green, green",
    "very " * 30 + "tall",
    "A dog. A dog. A dog. A dog.",
    KITCHEN + ", and a chair" * 7,  # late, and long enough to see
    KITCHEN + ". " + KITCHEN,  # longer than a window
    KITCHEN + " and" * 40,
    "A woman stands in a field of flowers with a basket in her hand. " * 3,
    "A man in a suit and tie and a woman in a dress and a hat. THE MAN IS SMILING. the man is smiling. The man is "
    "smiling. The man is smiling. The man is smiling.",
    "1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4",
    "\n".join(["1. A cat"] * 12),
    "!" * 128,
    "." * 64,
    "- " * 50,
    "a" * 100,
    "ha" * 60,
    "0" * 128,
    "A cat" + "!" * 60,
    "🐱" * 40,
    "猫" * 60,
    "一辆红色的汽车，" * 8,
    "赤い車があります。" * 6,
    "ทะเล" * 20,
    "빨간 자동차와 " * 12,
)
PIECES = st.sampled_from(
    [
        *("a", "cat", "I", "i'm sorry", "cannot", "view", "image", "as an AI", "my", "USER:", "<|eot_id|>", "please"),
        *(RECAP_PROMPT, '"', "'", "“", "”", "‘", "’", "«", "»", "「", "」", ".", ",", "\n", " ", "猫", "é", "e\u0301"),
    ]
)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=300) | st.lists(PIECES, max_size=80).map(
    "".join
)
