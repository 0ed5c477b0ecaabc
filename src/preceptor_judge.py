"""The judge plug-in of verifiers with the id `preceptor-judge`: verifiers imports a plug-in as a module at the top."""

from preceptor.integrations.verifiers import PreceptorJudge

__all__ = ["PreceptorJudge"]
