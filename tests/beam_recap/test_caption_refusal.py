"""Refusals as assistants write them, and captions that only sound like one."""

import pytest
from support.captions import GOOD

from beam_recap.caption_refusal import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I cannot assist with that request.",
        "I’m sorry, but I can’t help with identifying people in images.",
        "I'm sorry, I can't assist with this request.",
        "I am sorry, but I am unable to provide assistance with that request.",
        "I am unable to view images.",
        "I'm unable to view images directly.",
        "I cannot see the image you are referring to.",
        "As an AI language model, I do not have the ability to view images.",
        "As an AI, I cannot see pictures.",
        "As a large language model, I can't process images.",
        "I am an AI language model and cannot see images.",
        "Unfortunately, I cannot describe this picture.",
        "I apologize, but I'm not able to generate a caption for this image.",
        "Sorry, I can't describe this.",
        "I'm sorry, but as an AI language model, I cannot view images.",
        "While I appreciate the question, I cannot provide a description of this image.",
        "Please provide me with the image you would like me to describe.",
        "Kindly upload the image again.",
        "Sorry, but the picture is missing.",
        "No image was provided.",
        "It seems there is no image attached.",
        "I don't see any image attached.",
        "I'm sorry, but the image you provided is not visible.",
        "I must decline to describe this content.",
        "I won't describe this image because it goes against my guidelines.",
        "Describing this image would be against my content policy.",
        "The image could not be loaded.",
        # In mid caption.
        "Sure! Unfortunately, I cannot view the image.",
        "Thank you for the picture, but I cannot describe people.",
        "The image shows a person at a desk. I'm sorry, but I cannot identify who this is.",
        "A caption as requested:\n\n**I'm sorry, but I can't help with that.**",
        "ASSISTANT: I'm sorry, but I cannot describe this.",
        "\"I'm sorry, but I can't help with that.\"",  # the whole answer in quotation marks
        "I'M SORRY, BUT I CANNOT ASSIST WITH THAT.",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "caption",
    [
        *GOOD,
        "A sign that says 'I'm sorry, we are closed' hangs on a glass door.",
        "A sign that says I'm sorry, we are closed hangs on a glass door.",
        'A sign that says "I\'m sorry, but I cannot help you today." stands on the counter.',
        "A framed letter that begins \"I'm sorry. I cannot help you. As an AI, I",  # cut at the limit
        "A woman who cannot see walks with a white cane and a guide dog.",
        "A robot, an AI model, stands in front of a whiteboard.",
        "A poster for a film about an AI language model.",
        "A woman dressed as an AI assistant, in silver clothes.",
        "As an AI-generated image, it shows a robot in a garden.",
        "The man is unable to lift the heavy box.",
        "A cartoon of a man apologizing; the speech bubble reads “I am sorry, I cannot come home.”",
        "A cartoon in which a man says «I'm sorry, but I cannot view the image.»",
        'A T-shirt with the text "I can\'t even".',
        "The text at the top reads, I can't see you, and the text at the bottom reads, you can't see me.",
        'A screenshot of a chat with the message "As an AI language model, I cannot view images."',
        "A wall decal that reads I can't help falling in love with you.",
        "I can see a dog in the picture, and I can see a cat.",
        "The sign says sorry, no dogs allowed.",
        "A web page with a button that says please upload a photo.",
        "There is no image on the screen of the old television.",
        "A politician who is against the policies of the government speaks to a crowd.",
        "A blind person cannot view the picture, but can touch the relief.",
        "Unfortunately, the building in the picture is in ruins and its roof is missing.",
        "A poster with the words “SORRY WE’RE CLOSED” and a sad face.",
        "A sorry-looking teddy bear lies on the ground.",
    ],
)
def test_captions_that_are_none(caption: str) -> None:
    assert not is_refusal(caption)
