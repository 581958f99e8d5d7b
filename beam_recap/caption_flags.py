"""The flags of captions: who writes them, which are rejected, and who rates them."""

from __future__ import annotations

from beam_recap.caption_hint import HINT_PLACE
from beam_recap.flag import PRESET_VALUE, Flag
from beam_recap.flag_values import choice, holding_once, integer, matching, names, number, or_none, text
from beam_recap.names import CAPTION_FLAWS
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT

_KEY_VARIABLE = matching(r"[A-Za-z_]\w*", "is no name of an environment variable; give one, not the key itself")
_KEY_HELP = "Name of the environment variable that holds the server's API key."

CAPTION_FLAGS: tuple[Flag, ...] = (
    Flag(
        "captioner",
        "caption",
        PRESET_VALUE,
        or_none(text),
        "LLaVA-1.5 checkpoint in Hugging Face form: a folder, local or gs://, ID@REVISION, demo, or none.",
    ),
    Flag(
        "caption_endpoint",
        "caption",
        "none",
        or_none(text),
        "URL of an OpenAI-compatible server (vLLM, SGLang, TGI, ...) that captions in place of --captioner, such as "
        "http://localhost:8000/v1.",
    ),
    Flag("caption_endpoint_model", "caption", "none", or_none(text), "The model's name at that server."),
    Flag(
        "caption_endpoint_key",
        "caption",
        "none",
        or_none(_KEY_VARIABLE),
        _KEY_HELP,
        False,
    ),
    Flag(
        "caption_endpoint_requests",
        "caption",
        "16",
        integer(1, 512),
        "Requests to that server at once, per worker process.",
        False,
    ),
    Flag("caption_prompt", "caption", RECAP_PROMPT, text, "What the captioner is asked."),
    Flag(
        "caption_hint",
        "caption",
        "none",
        or_none(holding_once(HINT_PLACE, f"must hold {HINT_PLACE} exactly once; give a sentence with it, or none")),
        "Shows a row's original caption to the captioner: a sentence that follows the prompt, with {caption} for the "
        "caption. What looks like a special token is taken out, and long ones are cut.",
    ),
    Flag(
        "caption_max_new_tokens", "caption", str(RECAP_MAX_NEW_TOKENS), integer(1, 4096), "Longest caption, in tokens."
    ),
    Flag(
        "caption_engine",
        "caption",
        "auto",
        choice("auto", "slots", "generate", "vllm"),
        "slots: captions are written in slots that are filled anew as they finish (LLaVA with LLaMA or Mistral). "
        "generate: transformers' own, for any vision-language checkpoint. vllm: vLLM, if it is installed. auto: slots "
        "where they can run it, else generate.",
        False,
    ),
    Flag(
        "caption_batch_size",
        "caption",
        "none",
        or_none(integer(1, 1024)),
        "Captions written at once; none: as many as suit the device (16 on a CPU, what fits the memory of a GPU).",
        False,
    ),
    Flag(
        "caption_quantization",
        "caption",
        "none",
        or_none(choice("fp8")),
        "fp8: the language model's matrix products in 8 bits, by the slots, on GPUs that have them (Ada, Hopper and "
        "later). Captions differ a little.",
    ),
    Flag(
        "captioner_copies",
        "caption",
        "none",
        or_none(integer(1, 64)),
        "Copies of the captioner per machine, which its worker processes share; none: one in each process, or on a "
        "machine with GPUs one for each of them.",
        False,
    ),
    Flag(
        "reject_captions",
        "caption",
        "none",
        names(*CAPTION_FLAWS, alias="none"),
        "Reject new captions that loop, refuse, echo the prompt, were cut at the limit, or quote text that OCR did not "
        "see: repetition, refusal, prompt_echo, truncated, unseen_quotes, separated by commas; none: keep them.",
    ),
    Flag(
        "judge_endpoint",
        "judge",
        "none",
        or_none(text),
        "URL of an OpenAI-compatible server that rates captions from 1 to 5, with the paper's question, in GPT-4V's "
        "place.",
    ),
    Flag("judge_endpoint_model", "judge", "none", or_none(text), "The model's name at that server."),
    Flag("judge_endpoint_key", "judge", "none", or_none(_KEY_VARIABLE), _KEY_HELP, False),
    Flag(
        "judge_sample",
        "judge",
        "1",
        number(0, 1, "give a share of the rows, from 0 to 1"),
        "Share of the rows that are rated, chosen by their uid; the others stay null.",
    ),
)
