"""Whether a captioner declined to describe the picture."""

from __future__ import annotations

import re

from beam_recap.caption_quotes import outside_quotes

_IMAGE = r"(?:image|picture|photo|photograph|attachment|file|link|url|screenshot)s?\b"
_CANNOT = (
    r"(?:can(?:not|'t|t| not)|could(?: not|n't)|(?:am|'m)(?: currently)? (?:unable|not able) to|won't|will not"
    r"|do(?: not|n't) have (?:the |any )?(?:ability|capability|capacity|means) to)"
)
_ADVERB = r"(?: (?:actually|directly|currently|really|physically|visually|further|fully|properly))?"
# What a captioner that refuses says it cannot do. The second group are also words of honest doubt ("I cannot see any
# people"), and need an object that only a refusal has.
_REFUSED = (
    r" (?:(?:view|access|open|display|load|process|analy[sz]e|interpret|describe|caption|generate|create|assist|comply"
    r"|fulfil|fulfill|engage|help (?:you|with)"
    r"|(?:provide|give|offer)(?: you)?(?: with)? (?:an?|any|the|assistance|help))\b"
    r"|(?:see|identify|recogni[sz]e|read|determine|tell|answer|discuss|confirm|do|complete)\b[^.!?\n]{0,30}?"
    rf"\b(?:{_IMAGE}|visuals?\b|content\b|requests?\b|(?:people|persons?|individuals?|who)\b))"
)
_AI = (
    r"an? (?:ai|a\.i|artificial intelligence|(?:large |text-based |visual )?language model|text-based"
    r"|virtual assistant)\b"
)
_I_CANNOT = rf"i ?{_CANNOT}{_ADVERB}{_REFUSED}"
_SORRY = (
    r"(?:(?:i(?:'m| am)(?: so| very| really| truly)? )?sorry|(?:i )?(?:must |do |sincerely )?apologi[sz]e|my apologies"
    r"|unfortunately|regrettably|i regret|i(?:'m| am) afraid)"
)
# Matched at the beginning of a clause only.
_REFUSAL = re.compile(
    r"(?:(?:assistant|answer|response|caption|sure|okay|ok|well|however|and|so|but|yet)[:,]? ){0,3}+(?:"
    + "|".join(
        (
            _I_CANNOT,
            # I'm sorry, but I cannot ... / I'm sorry, but the image ...
            rf"{_SORRY}\b[^.!?\n]{{0,80}}?\b(?:i ?(?:{_CANNOT}|do(?: not|n't) (?:have|see|understand)|(?:am|'m) {_AI}"
            rf"|must decline)|(?:as|being) {_AI})",
            rf"{_SORRY},? (?:but )?(?:there (?:is|was|are) no|no|the|this|that|your) (?:{_IMAGE}|request\b|content\b)",
            # As an AI language model, I ...
            rf"as {_AI}[^.!?\n]{{0,60}}?\b(?:i|my)\b",
            rf"i ?(?:am|'m)(?: just| only| merely)? {_AI}",
            # While I appreciate ..., I cannot ...
            r"(?:while|although|though|given|due|because|since|without|thanks?|based|after|as)\b"
            rf"[^.!?\n]{{1,100}}?, (?:but )?{_I_CANNOT}",
            r"i (?:must (?:respectfully |politely )?|have to )(?:decline|refuse)",
            r"[^.!?\n]{0,80}?\b(?:against|violates?|beyond|outside) (?:of )?my (?:\w{1,20} ){0,2}"
            r"(?:guidelines|polic(?:y|ies)|programming|principles|capabilities)",
            # No image to look at
            rf"i (?:do(?: not|n't)|can(?:not|'t)) see (?:any|an?|the|your) {_IMAGE}",
            rf"(?:please|could you(?: please)?|can you(?: please)?|kindly) (?:provide|upload|share|attach|send|supply)"
            rf"(?: me)?(?: with)? (?:an?|the|your|another)(?: \w{{1,12}})? {_IMAGE}",
            r"(?:it (?:seems|looks|appears)(?: like| that| as if)? )?(?:there (?:is|was) )?no "
            rf"{_IMAGE} ?(?:was |is |has been )?(?:provided|attached|uploaded|included|shared)\b",
            rf"the {_IMAGE}(?: (?:that )?you(?:'ve| have)? \w{{1,12}})? (?:did not|didn't|failed to|could not be"
            r"|couldn't be|cannot be|can't be) (?:load|loaded|displayed|opened|processed)",
        )
    )
    + ")"
)
# One of these is in whatever the above matches; most captions have none, and need not be taken apart.
_REFUSAL_SIGNS = (
    *("i can", "i'm", "i am", "i do", "i could", "i won", "i will", "i must", "i have", "my ", "sorry", "apolog"),
    *("unfortunately", "regret", "an ai", "a.i", "artificial intelligence", "language model", "text-based"),
    *("virtual assistant", "please", "could you", "can you", "kindly", "no image", "no picture", "no photo"),
    *("no attachment", "no file", "no link", "no url", "no screenshot", "did not", "didn't", "failed to", "not be"),
    "n't be",
)
_CLAUSE_END = re.compile(r"[.!?;\n]+[\s*_#>(\"“'-]*|,? (?=but i\b|however, i\b)")


def is_refusal(text: str) -> bool:
    """Whether the captioner declines instead of describing, in English: an apology, an assistant speaking of itself.

    Clauses that begin so are looked for anywhere in the text, outside quotation marks (in them too, where nothing else
    is there), since an assistant's words spoil a caption wherever they stand. "I" only counts at the beginning of a
    clause: "a sign that says I'm sorry, we are closed" is no refusal.
    """
    lowered = outside_quotes(text).replace("’", "'").lower()
    if not any(sign in lowered for sign in _REFUSAL_SIGNS):
        return False
    return any(_REFUSAL.match(clause) for clause in _CLAUSE_END.split(lowered.lstrip(" \t\r\n*_#>(\"“'-")))
