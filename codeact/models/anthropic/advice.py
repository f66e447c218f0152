"""What leaves a parameter out of requests, where a server of the Messages API does not take it."""

from codeact.models.remote.parameters import ParameterAdvice

_FORMAT = "the prompt strategy asks for it: take another prompt"

ADVICE = ParameterAdvice(
    parameters={
        "temperature": "model.sampling.temperature=null leaves it out",
        "top_p": "model.sampling.top_p=null leaves it out",
        "top_k": "model.sampling.top_k=null leaves it out",
        "max_tokens": "give model.sampling.max_tokens a number that the server takes",
        "stop_sequences": "model.stop_limit=0 leaves them out, and texts are cut at them here (any "
        "other number sends so many)",
        "thinking": "model.reasoning.thinking=null leaves it out; a model may take another value",
        "effort": "model.reasoning.effort=null leaves it out",
        "format": _FORMAT,
        "output_config": f"model.reasoning.effort=null leaves effort out; of a format, {_FORMAT}",
        "tool_choice": "model.tool_choice=null and model.parallel_tool_use=true leave it out",
        "tools": "the prompt strategy offers functions: take another prompt",
    },
    in_messages={
        "thinking": "model.reasoning.history=drop leaves earlier thinking blocks out",
        "redacted_thinking": "model.reasoning.history=drop leaves earlier thinking blocks out",
        "cache_control": "model.caching=null leaves it out",
    },
    missing="model.reasoning.history=keep sends earlier thinking blocks, or last those of the last "
    "message",
)
