"""What leaves a parameter out of requests, where a server of the OpenAI API does not take it."""

from codeact.models.remote.parameters import ParameterAdvice

_DROP = (
    "model.reasoning.history=drop leaves it out (or model.reasoning.spelling says how the server "
    "calls it)"
)

ADVICE = ParameterAdvice(
    parameters={
        "temperature": "model.sampling.temperature=null leaves it out",
        "top_p": "model.sampling.top_p=null leaves it out",
        "seed": "model.sampling.seed=none leaves it out",
        "stop": "model.stop_limit=0 leaves it out, and texts are cut at the stop strings here (any "
        "other number sends so many)",
        "max_tokens": "model.length_key=max_completion_tokens sends it by its other name",
        "max_completion_tokens": "model.length_key=max_tokens sends it by its other name",
        "reasoning_effort": "model.reasoning.effort=null leaves it out",
        "tools": "the prompt strategy offers functions: take another prompt, or have the server "
        "parse calls (vLLM: model.args={enable_auto_tool_choice: true, tool_call_parser: NAME})",
        "response_format": "the prompt strategy asks for it: take another prompt",
    },
    in_messages=dict.fromkeys(("reasoning_content", "reasoning_details", "reasoning"), _DROP),
    missing="model.reasoning.history=keep sends it",
    presets="; model.dialect=NAME is all that a kind of model wants (docs/models.md has the names)",
)
